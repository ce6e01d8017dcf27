// produce BROKERS TOPIC: sends each line of standard input as a record, "key<TAB>value" or a value
// alone, and says at the end how many were written.
#include <millrace/producer.h>

#include <atomic>
#include <cstdio>
#include <iostream>
#include <string>

namespace {

millrace::ProducerRecord record_of(const std::string& topic, const std::string& line) {
  millrace::ProducerRecord record{topic, std::nullopt, line};
  const std::size_t tab = line.find('\t');
  if (tab != std::string::npos) {
    record.key = line.substr(0, tab);
    record.value = line.substr(tab + 1);
  }
  return record;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: %s BROKERS TOPIC < LINES\n", argv[0]);
    return 2;
  }
  try {
    millrace::Producer producer({{"bootstrap.servers", argv[1]},
                                 {"client.id", "produce-example"},
                                 {"compression.type", "zstd"},
                                 {"linger.ms", "10"},
                                 {"max.block.ms", "10000"},
                                 {"request.timeout.ms", "10000"}});
    std::atomic<int> written = 0;
    std::atomic<int> failed = 0;
    // On the producer's thread: it counts, and leaves the rest to others.
    const auto count = [&](const millrace::RecordMetadata&, const millrace::Error* error) {
      if (error == nullptr) {
        ++written;
      } else if (failed++ == 0) {
        std::fprintf(stderr, "%s\n", error->what());
      }
    };
    for (std::string line; std::getline(std::cin, line);)
      producer.send(record_of(argv[2], line), count);
    producer.flush();
    std::printf("%d written, %d failed\n", written.load(), failed.load());
    return failed == 0 ? 0 : 1;
  } catch (const millrace::Error& error) {
    std::fprintf(stderr, "%s: %s\n", error.name().c_str(), error.what());
    return 1;
  }
}
