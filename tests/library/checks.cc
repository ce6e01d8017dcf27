// checks NAME BROKERS: one check of the installed library against a real cluster whose topics do
// not appear by themselves. Ends with status 0, or says which fact does not hold.
#include <millrace/millrace.h>

#include <sys/resource.h>

#include <atomic>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <map>
#include <mutex>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;
using millrace::Config;
using millrace::Consumer;
using millrace::Error;
using millrace::ErrorCode;
using millrace::Producer;
using millrace::TopicPartition;

std::string brokers;

#define CHECK(fact)                                                           \
  do {                                                                        \
    if (!(fact)) {                                                            \
      std::fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #fact); \
      std::exit(1);                                                           \
    }                                                                         \
  } while (false)

Config with(Config more) {
  more.emplace("bootstrap.servers", brokers);
  return more;
}

millrace::Admin& admin() {
  static millrace::Admin the_admin(with({}));
  return the_admin;
}

void make_topic(const std::string& name, int partitions = 1) {
  admin().create_topic({name, partitions});
}

ErrorCode code_of(const std::function<void()>& work) {
  try {
    work();
  } catch (const Error& error) {
    return error.code();
  }
  return ErrorCode::kNone;
}

bool is_mistake(const std::function<void()>& work) {
  try {
    work();
  } catch (const std::logic_error&) {
    return true;
  }
  return false;
}

// Values 0, 1, 2, ... to one partition.
void fill(const std::string& topic, int count, int partition = 0) {
  Producer producer(with({}));
  for (int i = 0; i < count; ++i) {
    millrace::ProducerRecord record{topic, std::nullopt, std::to_string(i)};
    record.partition = partition;
    record.timestamp_ms = 1'000'000 + i;
    producer.send(std::move(record), [](const auto&, const Error* error) { CHECK(!error); });
  }
  producer.flush();
}

// Polls until so many records have come.
std::vector<millrace::ConsumerRecord> read(Consumer& consumer, std::size_t count) {
  std::vector<millrace::ConsumerRecord> records;
  const auto until = Clock::now() + 30s;
  while (records.size() < count && Clock::now() < until)
    for (auto& each : consumer.poll(100ms)) records.push_back(std::move(each));
  CHECK(records.size() == count);
  return records;
}

void poll_until(Consumer& consumer, const std::function<bool()>& done) {
  for (const auto until = Clock::now() + 30s; !done();) {
    CHECK(Clock::now() < until);
    consumer.poll(50ms);
  }
}

// --- Producers.

// Several threads on one producer, whose buffer they fill: every record once, those of a thread in
// order.
void producer_threads() {
  constexpr int kThreads = 4, kEach = 3000;
  make_topic("threads", 3);
  Producer producer(with({{"buffer.memory", "20000"}, {"linger.ms", "1"}}));
  std::atomic<int> told = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t)
    threads.emplace_back([&, t] {
      for (int i = 0; i < kEach; ++i) {
        const std::string name = std::to_string(t);
        producer.send({"threads", name, name + " " + std::to_string(i), {{"h", "x"}, {"h", {}}}},
                      [&](const auto& metadata, const Error* error) {
                        CHECK(!error && metadata.offset >= 0);
                        ++told;
                      });
        if (i % 1000 == 0) producer.flush();
      }
    });
  for (auto& each : threads) each.join();
  producer.flush();
  CHECK(told == kThreads * kEach);
  Consumer consumer(with({{"auto.offset.reset", "earliest"}}));
  consumer.assign({{"threads", 0}, {"threads", 1}, {"threads", 2}});
  std::map<std::string, int> next;
  for (const auto& each : read(consumer, kThreads * kEach)) {
    CHECK(*each.value == *each.key + " " + std::to_string(next[*each.key]++));
    CHECK(each.headers.size() == 2 && each.headers[0].value == "x" && !each.headers[1].value);
  }
  CHECK(consumer.poll(300ms).empty());
}

void producer_callbacks() {
  make_topic("callbacks");
  std::atomic<int> second = 0;
  std::atomic<bool> flush_is_refused = false;
  {
    Producer producer(with({{"compression.type", "lz4"}}));
    producer.send({"callbacks", {}, "first"}, [&](const auto& metadata, const Error*) {
      CHECK((metadata.partition == TopicPartition{"callbacks", 0}));
      flush_is_refused = is_mistake([&] { producer.flush(); });
      producer.send({"callbacks", {}, "second"}, [&](const auto& its, const Error* error) {
        CHECK(!error && its.offset == 1);
        ++second;
      });
    });
    producer.flush();
    producer.flush();
    CHECK(second == 1);
    CHECK(producer.send({"callbacks", {}, "third"}).get().offset == 2);
    CHECK(producer.partitions_of("callbacks").size() == 1);
    Producer moved = std::move(producer);
    producer = std::move(moved);
  }
  CHECK(flush_is_refused);
  CHECK(admin().delete_records({{{"callbacks", 0}, -1}}).at({"callbacks", 0}) == 3);
}

void producer_failures() {
  make_topic("there");
  Producer producer(with({{"max.block.ms", "500"}, {"max.request.size", "1000"}}));
  const auto failure = [&](millrace::ProducerRecord record) {
    auto sent = producer.send(std::move(record));
    producer.flush();
    return code_of([&] { sent.get(); });
  };
  CHECK(failure({"missing", {}, "x"}) == ErrorCode::kUnknownTopicOrPartition);
  CHECK(failure({"there", {}, std::string(2000, 'x')}) == ErrorCode::kMessageTooLarge);
  millrace::ProducerRecord elsewhere{"there", {}, "x"};
  elsewhere.partition = 7;
  CHECK(failure(elsewhere) == ErrorCode::kUnknownTopicOrPartition);
  CHECK(failure({"there", {}, "x"}) == ErrorCode::kNone);
  CHECK(code_of([&] { producer.partitions_of("missing"); }) == ErrorCode::kUnknownTopicOrPartition);
  producer.close();
  producer.close();
  CHECK(is_mistake([&] { producer.send({"there", {}, "x"}); }));
}

// BROKERS is where nobody listens.
void nobody_there() {
  Producer producer(with({{"buffer.memory", "1000"}, {"max.block.ms", "300"}}));
  std::atomic<int> late = 0;
  const auto begun = Clock::now();
  const auto code = code_of([&] {
    for (int i = 0; i < 100; ++i)
      producer.send({"t", {}, std::string(100, 'x')}, [&](const auto&, const Error* error) {
        CHECK(error && error->code() == ErrorCode::kRequestTimedOut);
        ++late;
      });
  });
  CHECK(code == ErrorCode::kRequestTimedOut);
  CHECK(Clock::now() - begun >= 300ms);
  producer.close(100ms);
  CHECK(late >= 9);
  millrace::Admin lonely(with({{"default.api.timeout.ms", "300"}}));
  CHECK(code_of([&] { lonely.list_topics(); }) == ErrorCode::kNetworkException);
  Consumer consumer(with({{"default.api.timeout.ms", "300"}, {"group.id", "g"}}));
  consumer.assign({{"t", 0}});
  CHECK(consumer.poll(300ms).empty());
  CHECK(code_of([&] { consumer.position({"t", 0}); }) == ErrorCode::kRequestTimedOut);
  CHECK(code_of([&] { consumer.commit({{{"t", 0}, 1}}); }) != ErrorCode::kNone);
  consumer.subscribe({"t"});
  CHECK(consumer.poll(100ms).empty());
}

// From one topic to another, each record once: what is read and what is written are committed
// together, or not at all.
void transactions() {
  make_topic("from");
  make_topic("to");
  fill("from", 10);
  const TopicPartition from{"from", 0}, to{"to", 0};
  Consumer source(with({{"group.id", "copier"},
                        {"auto.offset.reset", "earliest"},
                        {"enable.auto.commit", "false"}}));
  source.subscribe({"from"});
  const Config transactional = with({{"transactional.id", "copier"}});
  Producer producer(transactional);
  CHECK(is_mistake([&] { producer.begin_transaction(); }));
  producer.init_transactions();
  CHECK(is_mistake([&] { producer.commit_transaction(); }));
  std::atomic<int> refused = 0;
  const auto count = [&](const auto&, const Error* error) { refused += error ? 1 : 0; };
  producer.send({"to", {}, "of no transaction"}, count);
  producer.flush();
  CHECK(refused == 1);
  producer.begin_transaction();
  for (const auto& each : read(source, 10)) producer.send({"to", {}, each.value}, count);
  CHECK(source.group_metadata().generation >= 0);
  producer.send_offsets({{from, 10}}, source.group_metadata());
  producer.commit_transaction();
  CHECK(source.committed({from}).at(from) == 10);
  producer.begin_transaction();
  producer.send({"to", {}, "aborted"}, count);
  producer.flush();
  millrace::GroupMetadata stranger{"copier", "nobody", 7};
  CHECK(code_of([&] { producer.send_offsets({{from, 3}}, stranger); }) != ErrorCode::kNone);
  producer.abort_transaction();
  CHECK(refused == 1);
  CHECK(source.committed({from}).at(from) == 10);
  Consumer all(with({{"auto.offset.reset", "earliest"}}));
  all.assign({to});
  read(all, 11);
  Consumer committed(
      with({{"auto.offset.reset", "earliest"}, {"isolation.level", "read_committed"}}));
  committed.assign({to});
  CHECK(read(committed, 10).back().value == "9");
  CHECK(committed.poll(300ms).empty());
  CHECK(committed.end_offsets({to}).at(to) == 13);  // with two markers
  // Who has the id now fences who had it.
  Producer other(transactional);
  other.init_transactions();
  producer.begin_transaction();
  producer.send({"to", {}, "fenced"}, nullptr);
  const auto code = code_of([&] { producer.commit_transaction(); });
  CHECK(code == ErrorCode::kProducerFenced || code == ErrorCode::kInvalidProducerEpoch);
  other.begin_transaction();
  other.send({"to", {}, "open"}, nullptr);
  other.close();  // aborts
  CHECK(committed.poll(300ms).empty());
  Producer plain(with({}));
  CHECK(is_mistake([&] { plain.init_transactions(); }));
}

// --- Consumers.

void wakeup() {
  make_topic("quiet");
  Consumer consumer(with({}));
  consumer.assign({{"quiet", 0}});
  consumer.wakeup();
  auto begun = Clock::now();
  CHECK(consumer.poll(60s).empty());
  CHECK(Clock::now() - begun < 10s);
  std::atomic<bool> polling = false;
  std::thread poller([&] {
    polling = true;
    CHECK(consumer.poll(60s).empty());
    CHECK(consumer.poll(100ms).empty());
  });
  while (!polling) std::this_thread::yield();
  std::this_thread::sleep_for(1s);  // it is in poll() by now, and stays there
  CHECK(is_mistake([&] { consumer.poll(1ms); }));
  begun = Clock::now();
  consumer.wakeup();
  poller.join();
  CHECK(Clock::now() - begun < 10s);
  consumer.close();
  CHECK(is_mistake([&] { consumer.poll(1ms); }));
  consumer.close();
}

void seeks() {
  make_topic("places", 2);
  fill("places", 100);
  const TopicPartition p0{"places", 0}, p1{"places", 1};
  Consumer consumer(with({{"auto.offset.reset", "earliest"}, {"max.poll.records", "10"}}));
  consumer.assign({p0});
  CHECK(consumer.position(p0) == 0);
  CHECK(read(consumer, 10).front().timestamp_ms == 1'000'000);
  CHECK(consumer.position(p0) == 10);
  consumer.seek(p0, 95);
  CHECK(consumer.position(p0) == 95);
  CHECK(read(consumer, 5).front().offset == 95);
  consumer.seek_to_beginning({p0});
  CHECK(consumer.position(p0) == 0);
  CHECK(read(consumer, 20).back().offset == 19);
  consumer.pause({p0});
  CHECK(consumer.paused().count(p0) == 1);
  CHECK(consumer.poll(300ms).empty());
  consumer.resume({p0});
  CHECK(read(consumer, 10).front().offset == 20);
  consumer.seek_to_end({p0});
  CHECK(consumer.position(p0) == 100);
  CHECK(consumer.poll(200ms).empty());
  const auto found = consumer.offsets_for_times({{p0, 1'000'042}, {p1, 1'000'042}});
  CHECK(found.at(p0)->offset == 42 && found.at(p0)->timestamp_ms == 1'000'042);
  CHECK(!found.at(p1));
  CHECK((consumer.end_offsets({p0, p1}) == millrace::Offsets{{p0, 100}, {p1, 0}}));
  CHECK((consumer.beginning_offsets({p0}) == millrace::Offsets{{p0, 0}}));
  consumer.seek(p0, 50);
  consumer.assign({p0, p1});
  CHECK(consumer.position(p0) == 50);
  CHECK(read(consumer, 50).front().offset == 50);
  consumer.assign({p1});
  CHECK(is_mistake([&] { consumer.position(p0); }));
  CHECK(is_mistake([&] { consumer.seek(p0, 1); }));
  CHECK(is_mistake([&] { consumer.commit(); }));
  CHECK(is_mistake([&] { consumer.subscribe({"places"}); }));
}

void consumer_failures() {
  make_topic("short");
  fill("short", 3);
  CHECK(code_of([] { Consumer wrong(with({{"grup.id", "g"}})); }) == ErrorCode::kInvalidConfig);
  Consumer consumer(with({{"auto.offset.reset", "none"}, {"group.id", "nowhere"}}));
  CHECK(code_of([&] { consumer.partitions_of("missing"); }) == ErrorCode::kUnknownTopicOrPartition);
  CHECK(code_of([&] { consumer.end_offsets({{"missing", 0}}); }) ==
        ErrorCode::kUnknownTopicOrPartition);
  consumer.assign({{"short", 0}});
  CHECK(code_of([&] { poll_until(consumer, [] { return false; }); }) ==
        ErrorCode::kOffsetOutOfRange);
  consumer.seek({"short", 0}, 17);
  CHECK(code_of([&] { poll_until(consumer, [] { return false; }); }) ==
        ErrorCode::kOffsetOutOfRange);
  consumer.seek({"short", 0}, 1);
  CHECK(read(consumer, 2).front().offset == 1);
  consumer.assign({{"missing", 0}});
  consumer.seek({"missing", 0}, 0);
  CHECK(code_of([&] { poll_until(consumer, [] { return false; }); }) ==
        ErrorCode::kUnknownTopicOrPartition);
}

// Commits of assigned partitions: they are where the next consumer of the group begins.
void assigned_commits() {
  make_topic("mine");
  fill("mine", 30);
  const TopicPartition p{"mine", 0};
  const Config config = with(
      {{"group.id", "assigned"}, {"auto.offset.reset", "earliest"}, {"max.poll.records", "7"}});
  {
    Consumer consumer(config);  // commits by itself, at the end at the latest
    consumer.assign({p});
    CHECK(!consumer.committed({p}).at(p));
    read(consumer, 7);
  }
  Config by_hand = config;
  by_hand["enable.auto.commit"] = "false";
  Consumer consumer(by_hand);
  CHECK(consumer.committed({p}).at(p) == 7);
  consumer.assign({p});
  CHECK(read(consumer, 7).front().offset == 7);
  consumer.commit();
  CHECK(consumer.committed({p}).at(p) == 14);
  bool is_done = false;
  consumer.commit_async({{p, 20}}, [&](const auto& offsets, const Error* error) {
    CHECK(!error && offsets.at(p) == 20);
    is_done = true;
  });
  poll_until(consumer, [&] { return is_done; });
  CHECK(admin().list_consumer_group_offsets("assigned").at(p).offset == 20);
}

void group_of(const std::string& protocol) {
  const std::string topic = "group-" + protocol;
  make_topic(topic, 4);
  for (int p = 0; p < 4; ++p) fill(topic, 50, p);
  const Config config = with({{"group.id", topic},
                              {"group.protocol", protocol},
                              {"auto.offset.reset", "earliest"},
                              {"enable.auto.commit", "false"}});
  std::set<TopicPartition> came;
  std::vector<TopicPartition> went;
  Consumer first(config), second(config);
  millrace::RebalanceListener listener;
  listener.assigned = [&](const auto& partitions) {
    came.insert(partitions.begin(), partitions.end());
  };
  listener.revoked = [&](const auto& partitions) {
    went.insert(went.end(), partitions.begin(), partitions.end());
    first.commit();
  };
  first.subscribe({topic}, listener);
  CHECK(first.subscription() == std::vector<std::string>{topic});
  read(first, 200);
  CHECK(came.size() == 4 && first.assignment() == came);
  first.commit({{{topic, 0}, 40}});
  CHECK(code_of([&] { first.commit({{{"another", 0}, 1}}); }) == ErrorCode::kRebalanceInProgress);
  // The other one gets its share, which the first one has committed when it let go.
  std::atomic<bool> stop = false;
  std::thread other([&] {
    second.subscribe({topic});
    for (const auto until = Clock::now() + 60s; !stop || second.assignment().size() != 2;) {
      CHECK(Clock::now() < until);
      CHECK(second.poll(50ms).empty());
    }
    second.close();
  });
  poll_until(first, [&] { return first.assignment().size() == 2; });
  for (int i = 0; i < 20; ++i) first.poll(50ms);
  CHECK(went.size() >= 2);
  const auto group = admin().describe_group(topic);
  CHECK(group.members.size() == 2 && group.coordinator >= 0);
  stop = true;
  other.join();
  poll_until(first, [&] { return first.assignment().size() == 4; });
  first.commit();
  first.close();
  for (const auto& each : admin().list_consumer_group_offsets(topic))
    CHECK(each.second.offset == 50);
  CHECK(admin().describe_group(topic).members.empty());
  admin().delete_groups({topic});
  CHECK(code_of([&] { admin().describe_group(topic); }) == ErrorCode::kGroupIdNotFound);
}

void classic_group() { group_of("classic"); }
void consumer_group() { group_of("consumer"); }

void automatic_commits() {
  make_topic("auto");
  fill("auto", 20);
  const TopicPartition p{"auto", 0};
  Consumer consumer(with({{"group.id", "auto"},
                          {"auto.offset.reset", "earliest"},
                          {"auto.commit.interval.ms", "100"},
                          {"max.poll.records", "5"}}));
  millrace::RebalanceListener listener;
  listener.assigned = [&](const auto&) { consumer.seek(p, 10); };
  consumer.subscribe({"auto"}, listener);
  CHECK(read(consumer, 5).front().offset == 10);
  std::this_thread::sleep_for(150ms);
  read(consumer, 5);
  poll_until(consumer, [&] { return consumer.committed({p}).at(p) >= 15; });
  consumer.unsubscribe();
  CHECK(consumer.assignment().empty());
  CHECK(consumer.committed({p}).at(p) == 20);
}

// Who polls too seldom is put out of its group, is told so, and comes back.
void polls_too_seldom() {
  make_topic("slow");
  fill("slow", 10);
  Consumer consumer(with({{"group.id", "slow"},
                          {"auto.offset.reset", "earliest"},
                          {"enable.auto.commit", "false"},
                          {"max.poll.interval.ms", "1000"}}));
  int lost = 0;
  millrace::RebalanceListener listener;
  listener.lost = [&](const auto& partitions) { lost += static_cast<int>(partitions.size()); };
  consumer.subscribe({"slow"}, listener);
  read(consumer, 10);
  for (const auto until = Clock::now() + 30s; !admin().describe_group("slow").members.empty();) {
    CHECK(Clock::now() < until);
    std::this_thread::sleep_for(50ms);
  }
  CHECK(lost == 0);
  CHECK(read(consumer, 10).front().offset == 0);
  CHECK(lost == 1);
}

// Of each its value and how often it was given.
std::vector<std::string> shared(millrace::ShareConsumer& consumer, size_t count) {
  std::vector<std::string> read;
  for (const auto until = Clock::now() + 30s; read.size() < count;) {
    CHECK(Clock::now() < until);
    for (const auto& each : consumer.poll(500ms))
      read.push_back(*each.value + "#" + std::to_string(each.delivery_count.value()));
  }
  return read;
}

void share_group() {
  using millrace::AcknowledgeType;
  make_topic("queue");
  admin().alter_configs({millrace::ConfigResource::Type::kGroup, "sharers"},
                        {{"share.auto.offset.reset", "earliest"}});
  fill("queue", 4);
  const Config config = with({{"group.id", "sharers"}});
  {
    Config exact = config;
    exact.insert({{"share.acknowledgement.mode", "explicit"},
                  {"share.acquire.mode", "record_limit"},
                  {"max.poll.records", "4"}});
    millrace::ShareConsumer consumer(exact);
    CHECK(is_mistake([&] { consumer.poll(0ms); }));
    consumer.subscribe({"queue"});
    std::vector<millrace::ConsumerRecord> records;
    for (const auto until = Clock::now() + 30s; records.empty();) {
      CHECK(Clock::now() < until);
      records = consumer.poll(500ms);
    }
    CHECK(records.size() == 4 && consumer.acquisition_lock_timeout() == 30s);
    CHECK(is_mistake([&] { consumer.poll(0ms); }));
    consumer.acknowledge(records[0]);
    consumer.acknowledge(records[1], AcknowledgeType::kReject);
    consumer.acknowledge(records[2], AcknowledgeType::kRenew);
    CHECK(is_mistake([&] { consumer.acknowledge(records[0]); }));
    consumer.acknowledge(records[3], AcknowledgeType::kRelease);
    size_t told = 0;
    for (const auto& each : consumer.commit()) {
      CHECK(!each.error);
      told += each.offsets.size();
    }
    CHECK(told == 4);
    CHECK(consumer.poll(5s).at(0).delivery_count == 2);  // what was released
    consumer.close();                                    // the renewed one, too, is free again
    CHECK(is_mistake([&] { consumer.poll(0ms); }));
  }
  millrace::ShareConsumer consumer(config);
  consumer.subscribe({"queue"});
  const auto rest = shared(consumer, 2);
  CHECK((std::set<std::string>(rest.begin(), rest.end()) == std::set<std::string>{"2#2", "3#3"}));
  CHECK(is_mistake([&] { consumer.acknowledge(millrace::ConsumerRecord()); }));
  CHECK(!consumer.commit().at(0).error);
  CHECK(consumer.poll(200ms).empty());
  consumer.wakeup();
  CHECK(consumer.poll(1h).empty());
  CHECK(code_of([&] { millrace::ShareConsumer wrong(with({{"group.id", "g"}, {"acks", "1"}})); }) ==
        ErrorCode::kInvalidConfig);
}

// A library leaves its program's signals and limits alone.
void process_as_it_was() {
  rlimit before{}, after{};
  ::getrlimit(RLIMIT_NOFILE, &before);
  before.rlim_cur = 300;
  for (const int each : {SIGPIPE, SIGINT}) std::signal(each, SIG_DFL);  // a shell may ignore them
  ::setrlimit(RLIMIT_NOFILE, &before);
  make_topic("polite");
  ::getrlimit(RLIMIT_NOFILE, &after);
  CHECK(after.rlim_cur == 300);
  for (const int each : {SIGPIPE, SIGINT}) CHECK(std::signal(each, SIG_DFL) == SIG_DFL);
}

// --- Admin clients.

void administration() {
  auto& it = admin();
  CHECK(code_of([] { millrace::Admin wrong(Config{{"bootstrap.servers", ""}}); }) ==
        ErrorCode::kInvalidConfig);
  it.create_topics({{"a", 2, 1, {{"retention.ms", "1000"}}}, {"b", -1, -1, {}, {{0, {1}}}}});
  CHECK(code_of([&] { it.create_topic({"a"}); }) == ErrorCode::kTopicAlreadyExists);
  CHECK(code_of([&] { it.create_topic({"no good"}); }) == ErrorCode::kInvalidTopicException);
  CHECK(code_of([&] { it.create_topic({"c", 1, 9}); }) == ErrorCode::kInvalidReplicationFactor);
  CHECK(it.list_topics().size() == 2 && it.list_topics()[0].name == "a");
  it.create_partitions("a", 3);
  const auto topic = it.describe_topic("a");
  CHECK(topic.partitions.size() == 3 && topic.partitions[2].leader == 1 && topic.id.size() == 22);
  CHECK(code_of([&] { it.describe_topics({"a", "z"}); }) == ErrorCode::kUnknownTopicOrPartition);
  const millrace::ConfigResource resource{millrace::ConfigResource::Type::kTopic, "a"};
  const auto value = [&](const std::string& name) {
    for (const auto& each : it.describe_configs(resource))
      if (each.name == name) return each.value.value_or("") + (each.is_default ? " (default)" : "");
    return std::string("none");
  };
  CHECK(value("retention.ms") == "1000");
  using Operation = millrace::ConfigChange::Operation;
  it.alter_configs(resource,
                   {{"retention.ms", "2000"}, {"cleanup.policy", "compact", Operation::kAppend}});
  CHECK(value("retention.ms") == "2000" && value("cleanup.policy") == "delete,compact");
  it.alter_configs(resource, {{"retention.ms", "", Operation::kDelete}});
  CHECK(value("retention.ms") == "604800000 (default)");
  CHECK(code_of([&] { it.alter_configs(resource, {{"retention.ms", "x"}}); }) ==
        ErrorCode::kInvalidConfig);
  CHECK(!it.describe_configs({millrace::ConfigResource::Type::kBroker, "1"}).empty());
  const auto cluster = it.describe_cluster();
  CHECK(cluster.brokers.size() == 1 && cluster.brokers[0].id == 1 && !cluster.id.empty());
  fill("b", 5);
  CHECK((it.delete_records({{{"b", 0}, 2}}) ==
         std::map<TopicPartition, std::int64_t>{{{"b", 0}, 2}}));
  CHECK(code_of([&] { it.delete_records({{{"b", 0}, 9}}); }) == ErrorCode::kOffsetOutOfRange);
  CHECK(it.list_groups().empty());
  CHECK(code_of([&] { it.delete_groups({"none"}); }) == ErrorCode::kGroupIdNotFound);
  it.delete_topics({"a", "b"});
  for (const auto& each : it.list_topics()) CHECK(each.internal);  // the groups' own
  CHECK(code_of([&] { it.delete_topics({"a"}); }) == ErrorCode::kUnknownTopicOrPartition);
}

const std::map<std::string, void (*)()> checks = {
    {"administration", administration},
    {"assigned_commits", assigned_commits},
    {"automatic_commits", automatic_commits},
    {"classic_group", classic_group},
    {"consumer_failures", consumer_failures},
    {"consumer_group", consumer_group},
    {"nobody_there", nobody_there},
    {"polls_too_seldom", polls_too_seldom},
    {"process_as_it_was", process_as_it_was},
    {"producer_callbacks", producer_callbacks},
    {"producer_failures", producer_failures},
    {"producer_threads", producer_threads},
    {"seeks", seeks},
    {"share_group", share_group},
    {"transactions", transactions},
    {"wakeup", wakeup},
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3 || checks.count(argv[1]) == 0) return 2;
  brokers = argv[2];
  try {
    checks.at(argv[1])();
  } catch (const std::exception& error) {
    std::fprintf(stderr, "thrown: %s\n", error.what());
    return 1;
  }
}
