#include "telemetry/otlp.h"

#include <boost/locale/utf.hpp>
#include <protozero/pbf_reader.hpp>

#include <cstdint>
#include <optional>

namespace millrace::telemetry {
namespace {

using protozero::pbf_reader;

// The fields' numbers in opentelemetry/proto/metrics/v1/metrics.proto, by message.
namespace field {
enum MetricsData : uint32_t { kResourceMetrics = 1 };
enum ResourceMetrics : uint32_t { kResource = 1, kScopeMetrics = 2 };
enum Resource : uint32_t { kResourceAttributes = 1 };
enum ScopeMetrics : uint32_t { kMetrics = 2 };
enum Metric : uint32_t {
  kName = 1,
  kGauge = 5,
  kSum = 7,
  kHistogram = 9,
  kExponential = 10,
  kSummary = 11
};
enum Points : uint32_t { kPoints = 1, kTemporality = 2, kIsMonotonic = 3 };
enum NumberPoint : uint32_t { kAsDouble = 4, kAsInt = 6, kNumberAttributes = 7 };
enum Distribution : uint32_t { kCount = 4, kTotal = 5 };
constexpr uint32_t kHistogramAttributes = 9, kExponentialAttributes = 1, kSummaryAttributes = 7;
enum KeyValue : uint32_t { kKey = 1, kValue = 2 };
enum AnyValue : uint32_t { kString = 1, kBool = 2, kInt = 3, kDouble = 4 };
}  // namespace field

constexpr int32_t kDelta = 1;

// A field by its number and how it is encoded: the library takes one that is encoded otherwise than
// it is asked for as a bug of ours.
using protozero::pbf_wire_type;
constexpr uint32_t text(uint32_t number) {
  return protozero::tag_and_type(number, pbf_wire_type::length_delimited);
}
constexpr uint32_t message(uint32_t number) { return text(number); }
constexpr uint32_t varint(uint32_t number) {
  return protozero::tag_and_type(number, pbf_wire_type::varint);
}
constexpr uint32_t fixed64(uint32_t number) {
  return protozero::tag_and_type(number, pbf_wire_type::fixed64);
}

bool next_message(pbf_reader& reader, uint32_t number) {
  return reader.next(number, pbf_wire_type::length_delimited);
}

bool is_utf8(std::string_view text) {
  namespace utf = boost::locale::utf;
  for (const char *at = text.data(), *end = at + text.size(); at != end;)
    if (const auto point = utf::utf_traits<char>::decode(at, end);
        point == utf::illegal || point == utf::incomplete)
      return false;
  return true;
}

size_t bytes_of(const Sample& sample) {
  size_t bytes = sizeof(Sample) + sample.name.size();
  for (const auto& [key, value] : sample.labels)
    bytes += 2 * sizeof(std::string) + key.size() + value.size();
  return bytes;
}

class Decoder {
 public:
  Result<std::vector<Sample>> decode(ByteView payload) && {
    pbf_reader data(reinterpret_cast<const char*>(payload.data()), payload.size());
    while (!refusal_ && next_message(data, field::kResourceMetrics))
      take_resource(data.get_message());
    if (refusal_) return std::unexpected(std::move(*refusal_));
    return std::move(samples_);
  }

 private:
  // What all points of a metric have alike.
  struct Metric {
    std::string name;
    Labels labels;
    bool is_counter = false;
    bool is_delta = false;
  };

  std::string text_of(pbf_reader& message) {
    const auto view = message.get_view();
    std::string text(view.data(), view.size());
    if (!is_utf8(text)) refusal_ = Error{Errc::kCorrupt, "text that is not UTF-8"};
    return text;
  }

  // Lists and maps have no text.
  std::string value_of(pbf_reader any) {
    while (any.next()) switch (any.tag_and_type()) {
        case text(field::kString): return text_of(any);
        case varint(field::kBool): return any.get_bool() ? "true" : "false";
        case varint(field::kInt): return std::to_string(any.get_int64());
        case fixed64(field::kDouble): return std::to_string(any.get_double());
        default: any.skip();
      }
    return "";
  }

  void add_attribute(pbf_reader attribute, Labels& labels) {
    std::string key, value;
    while (attribute.next()) switch (attribute.tag_and_type()) {
        case text(field::kKey): key = text_of(attribute); break;
        case message(field::kValue): value = value_of(attribute.get_message()); break;
        default: attribute.skip();
      }
    labels[std::move(key)] = std::move(value);
  }

  // Fields may come in any order; what is said of all is looked for first.
  void take_resource(const pbf_reader& resource) {
    Labels labels;
    pbf_reader said = resource;
    while (next_message(said, field::kResource)) {
      pbf_reader attributes = said.get_message();
      while (next_message(attributes, field::kResourceAttributes))
        add_attribute(attributes.get_message(), labels);
    }
    pbf_reader scopes = resource;
    while (next_message(scopes, field::kScopeMetrics)) {
      pbf_reader scope = scopes.get_message();
      while (!refusal_ && next_message(scope, field::kMetrics))
        take_metric(scope.get_message(), labels);
    }
  }

  void take_metric(const pbf_reader& metric, const Labels& labels) {
    Metric known{.name = {}, .labels = labels};
    pbf_reader named = metric;
    while (next_message(named, field::kName)) known.name = text_of(named);
    pbf_reader data = metric;
    while (data.next()) switch (data.tag_and_type()) {
        case message(field::kGauge):
        case message(field::kSum): take_numbers(data.get_message(), known); break;
        case message(field::kHistogram):
          take_distributions(data.get_message(), known, field::kHistogramAttributes);
          break;
        case message(field::kExponential):
          take_distributions(data.get_message(), known, field::kExponentialAttributes);
          break;
        case message(field::kSummary):
          take_distributions(data.get_message(), known, field::kSummaryAttributes);
          break;
        default: data.skip();
      }
  }

  static void take_kind(pbf_reader points, Metric& metric) {
    metric.is_delta = metric.is_counter = false;
    while (points.next()) switch (points.tag_and_type()) {
        case varint(field::kTemporality): metric.is_delta = points.get_enum() == kDelta; break;
        case varint(field::kIsMonotonic): metric.is_counter = points.get_bool(); break;
        default: points.skip();
      }
  }

  void take_numbers(const pbf_reader& points, Metric& metric) {
    take_kind(points, metric);
    pbf_reader each = points;
    while (!refusal_ && next_message(each, field::kPoints)) {
      Sample sample = sample_of(metric, "");
      pbf_reader point = each.get_message();
      while (point.next()) switch (point.tag_and_type()) {
          case fixed64(field::kAsDouble): sample.value = point.get_double(); break;
          case fixed64(field::kAsInt):
            sample.value = static_cast<double>(point.get_sfixed64());
            break;
          case message(field::kNumberAttributes):
            add_attribute(point.get_message(), sample.labels);
            break;
          default: point.skip();
        }
      add(std::move(sample));
    }
  }

  void take_distributions(const pbf_reader& points, Metric& metric, uint32_t attributes) {
    take_kind(points, metric);
    metric.is_counter = true;
    pbf_reader each = points;
    while (!refusal_ && next_message(each, field::kPoints)) {
      Sample count = sample_of(metric, ".count"), sum = sample_of(metric, ".sum");
      pbf_reader point = each.get_message();
      while (point.next())
        if (point.tag_and_type() == fixed64(field::kCount))
          count.value = static_cast<double>(point.get_fixed64());
        else if (point.tag_and_type() == fixed64(field::kTotal))
          sum.value = point.get_double();
        else if (point.tag_and_type() == message(attributes))
          add_attribute(point.get_message(), count.labels);
        else
          point.skip();
      sum.labels = count.labels;
      add(std::move(count));
      add(std::move(sum));
    }
  }

  static Sample sample_of(const Metric& metric, std::string_view part) {
    return {.name = metric.name + std::string(part),
            .labels = metric.labels,
            .is_counter = metric.is_counter,
            .is_delta = metric.is_delta};
  }

  void add(Sample sample) {
    bytes_ += bytes_of(sample);
    samples_.push_back(std::move(sample));
    if (samples_.size() > kMaxSamples || bytes_ > kMaxSampleBytes)
      refusal_ = Error{Errc::kLimit, "more metrics than are taken"};
  }

  std::vector<Sample> samples_;
  size_t bytes_ = 0;
  std::optional<Error> refusal_;
};

}  // namespace

Result<std::vector<Sample>> decode_metrics(ByteView payload) {
  try {
    return Decoder().decode(payload);
  } catch (const protozero::exception& problem) {
    return fail(Errc::kCorrupt, problem.what());
  }
}

}  // namespace millrace::telemetry
