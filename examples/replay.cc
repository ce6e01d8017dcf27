// replay BROKERS TOPIC SECONDS [follow]: prints what was written to a topic in the last SECONDS
// seconds, by the timestamps of records; with "follow" goes on with what comes, until ^C.
#include <millrace/consumer.h>

#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>
#include <vector>

namespace {

volatile std::sig_atomic_t stopping = 0;

std::int64_t ms_ago(long seconds) {
  const auto then = std::chrono::system_clock::now() - std::chrono::seconds(seconds);
  return std::chrono::duration_cast<std::chrono::milliseconds>(then.time_since_epoch()).count();
}

// Begins in each partition with its first record of that time or later; the end, if there is none.
void begin(millrace::Consumer& consumer, const std::vector<millrace::TopicPartition>& partitions,
           std::int64_t since_ms) {
  std::map<millrace::TopicPartition, std::int64_t> times;
  for (const auto& each : partitions) times[each] = since_ms;
  consumer.assign(partitions);
  for (const auto& [partition, found] : consumer.offsets_for_times(times))
    if (found)
      consumer.seek(partition, found->offset);
    else
      consumer.seek_to_end({partition});
}

bool is_at(millrace::Consumer& consumer, const millrace::Offsets& ends) {
  for (const auto& [partition, end] : ends)
    if (consumer.position(partition) < end) return false;
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 4 || argc > 5) {
    std::fprintf(stderr, "usage: %s BROKERS TOPIC SECONDS [follow]\n", argv[0]);
    return 2;
  }
  std::signal(SIGINT, [](int) { stopping = 1; });
  try {
    millrace::Consumer consumer(
        {{"bootstrap.servers", argv[1]}, {"default.api.timeout.ms", "10000"}});
    std::vector<millrace::TopicPartition> partitions;
    for (const auto& each : consumer.partitions_of(argv[2])) partitions.push_back(each.partition);
    begin(consumer, partitions, ms_ago(std::atol(argv[3])));
    const auto ends = consumer.end_offsets(partitions);
    while (stopping == 0 && (argc == 5 || !is_at(consumer, ends))) {
      for (const auto& each : consumer.poll(std::chrono::milliseconds(200)))
        std::printf("%lld %d %s\n", static_cast<long long>(each.timestamp_ms),
                    each.partition.partition, each.value.value_or("").c_str());
      std::fflush(stdout);
    }
    return 0;
  } catch (const millrace::Error& error) {
    std::fprintf(stderr, "%s: %s\n", error.name().c_str(), error.what());
    return 1;
  }
}
