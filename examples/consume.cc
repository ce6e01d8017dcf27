// consume BROKERS GROUP TOPIC...: prints the records of topics as a member of a group, and commits
// what it has printed. Run it several times at once, and they share the partitions. Ends on ^C, or
// when nothing has come for IDLE_SECONDS of the environment.
#include <millrace/consumer.h>

#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

namespace {

volatile std::sig_atomic_t stopping = 0;

void say(const char* what, const std::vector<millrace::TopicPartition>& partitions) {
  for (const auto& each : partitions)
    std::fprintf(stderr, "%s %s-%d\n", what, each.topic.c_str(), each.partition);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 4) {
    std::fprintf(stderr, "usage: %s BROKERS GROUP TOPIC...\n", argv[0]);
    return 2;
  }
  std::signal(SIGINT, [](int) { stopping = 1; });
  const char* idle = std::getenv("IDLE_SECONDS");
  const auto patience = std::chrono::seconds(idle == nullptr ? 1'000'000 : std::atoi(idle));
  try {
    millrace::Consumer consumer({{"bootstrap.servers", argv[1]},
                                 {"client.id", "consume-example"},
                                 {"group.id", argv[2]},
                                 {"group.protocol", "consumer"},
                                 {"auto.offset.reset", "earliest"},
                                 {"enable.auto.commit", "false"}});
    millrace::RebalanceListener listener;
    listener.assigned = [](const auto& partitions) { say("+", partitions); };
    // All that was printed is committed already: poll() comes after commit().
    listener.revoked = [](const auto& partitions) { say("-", partitions); };
    consumer.subscribe({argv + 3, argv + argc}, listener);

    auto last = std::chrono::steady_clock::now();
    while (stopping == 0 && std::chrono::steady_clock::now() - last < patience) {
      const auto records = consumer.poll(std::chrono::milliseconds(200));
      for (const auto& each : records)
        std::printf("%s-%d %lld %s\n", each.partition.topic.c_str(), each.partition.partition,
                    static_cast<long long>(each.offset), each.value.value_or("").c_str());
      if (records.empty()) continue;
      std::fflush(stdout);
      last = std::chrono::steady_clock::now();
      try {
        consumer.commit();
      } catch (const millrace::Error& error) {
        // Others have the partitions now, and print these records again.
        if (error.code() != millrace::ErrorCode::kRebalanceInProgress) throw;
      }
    }
    consumer.close();
    return 0;
  } catch (const millrace::Error& error) {
    std::fprintf(stderr, "%s: %s\n", error.name().c_str(), error.what());
    return 1;
  }
}
