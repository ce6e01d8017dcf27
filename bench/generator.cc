// bench_generator produce|fetch|ask|idle NAME=VALUE...: a lean load generator that speaks raw
// frames, so that it costs a fraction of the broker it measures. Prints one line of JSON.
//   produce, fetch: host port topic partitions connections pipeline record_bytes batch_bytes
//     partition_max_bytes rate warm_up_seconds seconds bytes broker (its process id)
//   ask: frame answer (both in hexadecimal digits) host port connections pipeline rate
//     warm_up_seconds seconds broker: one request again and again, answered alike each time
//   idle: host port connections seconds broker: holds silent connections; prints `open` when they
//     are.
#include <fmt/format.h>
#include <sys/resource.h>

#include <charconv>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>
#include <string_view>
#include <thread>

#include "load.h"

namespace millrace::bench {
namespace {

class Arguments {
 public:
  Arguments(int count, char** values) {
    for (int i = 2; i < count; ++i) {
      const std::string_view each = values[i];
      const size_t equals = each.find('=');
      if (equals == std::string_view::npos) refuse(each);
      values_[std::string(each.substr(0, equals))] = each.substr(equals + 1);
    }
  }
  void take(const char* name, ByteBuffer& into) {
    std::string digits;
    take(name, digits);
    for (size_t i = 0; i + 1 < digits.size(); i += 2) {
      uint8_t byte = 0;
      const auto end = std::from_chars(&digits[i], &digits[i] + 2, byte, 16);
      if (end.ptr != &digits[i] + 2) refuse(digits);
      into.push_back(byte);
    }
  }
  template <class T>
  void take(const char* name, T& into) {
    auto found = values_.extract(name);
    if (found.empty()) return;
    const std::string& text = found.mapped();
    if constexpr (std::is_same_v<T, std::string>) {
      into = text;
    } else {
      const auto end = std::from_chars(text.data(), text.data() + text.size(), into);
      if (end.ec != std::errc() || end.ptr != text.data() + text.size()) refuse(text);
    }
  }
  void expect_empty() const {
    if (!values_.empty()) refuse(values_.begin()->first);
  }

 private:
  [[noreturn]] static void refuse(std::string_view what) {
    fmt::print(stderr, "bench_generator: what is '{}'? See bench/generator.cc\n", what);
    std::exit(2);
  }
  std::map<std::string, std::string> values_;
};

void print(const LoadResult& result) {
  auto micros = [&](double share) {
    return static_cast<double>(result.latencies.percentile(share)) / 1e3;
  };
  fmt::print(
      "{{\"requests\":{},\"bytes\":{},\"seconds\":{:.6f},\"broker_cpu_seconds\":{:.6f},"
      "\"own_cpu_seconds\":{:.6f},\"p50_us\":{:.1f},\"p90_us\":{:.1f},\"p99_us\":{:.1f},"
      "\"p999_us\":{:.1f},\"max_us\":{:.1f}}}\n",
      result.requests, result.bytes, result.seconds, result.broker_cpu_seconds,
      result.own_cpu_seconds, micros(0.5), micros(0.9), micros(0.99), micros(0.999), micros(1));
}

int put_load(Kind kind, Arguments arguments) {
  LoadOptions options{.kind = kind};
  arguments.take("host", options.host);
  arguments.take("port", options.port);
  arguments.take("topic", options.topic);
  arguments.take("partitions", options.partitions);
  arguments.take("connections", options.connections);
  arguments.take("pipeline", options.pipeline);
  arguments.take("record_bytes", options.shape.record_bytes);
  arguments.take("batch_bytes", options.shape.batch_bytes);
  arguments.take("partition_max_bytes", options.partition_max_bytes);
  arguments.take("frame", options.frame);
  arguments.take("answer", options.answer);
  arguments.take("rate", options.rate);
  arguments.take("warm_up_seconds", options.warm_up_seconds);
  arguments.take("seconds", options.seconds);
  arguments.take("bytes", options.bytes);
  arguments.take("broker", options.broker);
  arguments.expect_empty();
  print(run_load(options));
  return 0;
}

int stay_idle(Arguments arguments) {
  std::string host = "127.0.0.1";
  uint16_t port = 9092;
  size_t connections = 1;
  double seconds = 1;
  pid_t broker = 0;
  arguments.take("host", host);
  arguments.take("port", port);
  arguments.take("connections", connections);
  arguments.take("seconds", seconds);
  arguments.take("broker", broker);
  arguments.expect_empty();
  open_idle(host, port, connections);
  fmt::print("open\n");
  std::fflush(stdout);
  const double before = broker ? cpu_seconds(broker) : 0;
  std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
  fmt::print("{{\"connections\":{},\"seconds\":{:.3f},\"broker_cpu_seconds\":{:.6f}}}\n",
             connections, seconds, broker ? cpu_seconds(broker) - before : 0);
  return 0;
}

}  // namespace
}  // namespace millrace::bench

int main(int count, char** values) {
  using namespace millrace::bench;
  rlimit files{};
  if (::getrlimit(RLIMIT_NOFILE, &files) == 0) {
    files.rlim_cur = files.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &files);
  }
  const std::string_view mode = count > 1 ? values[1] : "";
  if (mode == "produce") return put_load(Kind::kProduce, Arguments(count, values));
  if (mode == "fetch") return put_load(Kind::kFetch, Arguments(count, values));
  if (mode == "ask") return put_load(Kind::kAsk, Arguments(count, values));
  if (mode == "idle") return stay_idle(Arguments(count, values));
  fmt::print(stderr,
             "bench_generator produce|fetch|ask|idle NAME=VALUE...: see bench/generator.cc\n");
  return 2;
}
