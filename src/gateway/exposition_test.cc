#include "gateway/exposition.h"

#include <gtest/gtest.h>

namespace millrace::gateway {
namespace {

TEST(Exposition, a_family_is_announced_before_its_samples) {
  Exposition page;
  page.family("requests_total", MetricKind::kCounter, "Requests.");
  page.sample({{"request", "Produce"}, {"version", "12"}}, 3);
  page.sample({{"request", "Fetch"}}, 0.25);
  EXPECT_EQ(page.text(),
            "# HELP requests_total Requests.\n"
            "# TYPE requests_total counter\n"
            "requests_total{request=\"Produce\",version=\"12\"} 3\n"
            "requests_total{request=\"Fetch\"} 0.25\n");
}

TEST(Exposition, a_single_sample_has_no_labels) {
  Exposition page;
  page.single("partitions", MetricKind::kGauge, "Here.", 12'345'678'901);
  EXPECT_EQ(page.text(),
            "# HELP partitions Here.\n# TYPE partitions gauge\npartitions 12345678901\n");
}

TEST(Exposition, values_of_labels_are_escaped) {
  Exposition page;
  page.family("x", MetricKind::kGauge, "X.");
  page.sample({{"a", "q\"b\\n\nz"}}, -1);
  EXPECT_NE(page.text().find("x{a=\"q\\\"b\\\\n\\nz\"} -1\n"), std::string::npos) << page.text();
}

}  // namespace
}  // namespace millrace::gateway
