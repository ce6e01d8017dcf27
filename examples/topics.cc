// topics BROKERS: lists the topics. topics BROKERS NAME [PARTITIONS]: makes the topic if it is not
// there, and shows it with the configs that somebody has set.
#include <millrace/admin.h>

#include <cstdio>
#include <cstdlib>
#include <string>

namespace {

void list(millrace::Admin& admin) {
  const auto cluster = admin.describe_cluster();
  std::printf("cluster %s, %zu brokers\n", cluster.id.c_str(), cluster.brokers.size());
  for (const auto& each : admin.list_topics())
    std::printf("%s%s\n", each.name.c_str(), each.internal ? " (internal)" : "");
}

void make(millrace::Admin& admin, const std::string& name, int partitions) {
  millrace::NewTopic topic{name, partitions};
  topic.configs["retention.ms"] = "86400000";
  try {
    admin.create_topic(topic);
    std::printf("made %s\n", name.c_str());
  } catch (const millrace::Error& error) {
    if (error.code() != millrace::ErrorCode::kTopicAlreadyExists) throw;
    std::printf("%s is there already\n", name.c_str());
  }
}

void show(millrace::Admin& admin, const std::string& name) {
  const auto topic = admin.describe_topic(name);
  std::printf("%s %s\n", topic.name.c_str(), topic.id.c_str());
  for (const auto& each : topic.partitions)
    std::printf("  partition %d: leader %d, %zu replicas, %zu in sync\n", each.partition.partition,
                each.leader, each.replicas.size(), each.isr.size());
  for (const auto& each : admin.describe_configs({millrace::ConfigResource::Type::kTopic, name}))
    if (!each.is_default)
      std::printf("  %s=%s\n", each.name.c_str(), each.value.value_or("").c_str());
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2 || argc > 4) {
    std::fprintf(stderr, "usage: %s BROKERS [TOPIC [PARTITIONS]]\n", argv[0]);
    return 2;
  }
  try {
    millrace::Admin admin({{"bootstrap.servers", argv[1]}, {"default.api.timeout.ms", "10000"}});
    if (argc == 2) {
      list(admin);
    } else {
      make(admin, argv[2], argc == 4 ? std::atoi(argv[3]) : 1);
      show(admin, argv[2]);
    }
    return 0;
  } catch (const millrace::Error& error) {
    std::fprintf(stderr, "%s: %s\n", error.name().c_str(), error.what());
    return 1;
  }
}
