// Any bytes as what brokers send to a client: its connection, and behind it all that reads answers:
// what it knows of the cluster, a producer, a fetcher and a member of a group. They may give up;
// none may crash, every call ends once (CC1), the records of a partition come in order and of those
// assigned alone (FE1, FE3), what became of each record to send is told once (PR1), and a member
// reads nothing but what it owns (ME1, CM1).
//
// The input: uint8 how many versions below ours the broker is (255: it says itself; 128 more: the
// group is of the consumer protocol; 64 more: the records are of a transaction), then steps: uint8
// kind, uint16 length, bytes. Seeds: tests/seeds.py.
#include <algorithm>
#include <concepts>
#include <functional>
#include <variant>

#include "base/assert.h"
#include "client/core/connection.h"
#include "client/core/consumer_membership.h"
#include "client/core/fetcher.h"
#include "client/core/membership.h"
#include "client/core/producer.h"
#include "wire/headers.h"

using namespace millrace;
using namespace millrace::client::core;

namespace {

constexpr int kSaysItself = 255;
constexpr int kConsumerProtocol = 128;
constexpr int kTransactional = 64;
constexpr uint64_t kRecordsToSend = 4;
constexpr Offset kNothingRead{-1};

// A step's kind.
enum Step { kAnswer, kStream, kTime, kLost, kStepKinds };

// What the broker says that it serves: of the calls that are made here, `below` versions less than
// there are.
const ByteBuffer& api_versions(int below, int16_t version) {
  using enum wire::ApiKey;
  static std::map<std::pair<int, int16_t>, ByteBuffer> made;
  ByteBuffer& body = made[{below, version}];
  if (!body.empty()) return body;
  wire::ApiVersionsResponse response;
  for (wire::ApiKey key :
       {kProduce, kFetch, kListOffsets, kMetadata, kOffsetCommit, kOffsetFetch, kFindCoordinator,
        kJoinGroup, kHeartbeat, kLeaveGroup, kSyncGroup, kInitProducerId, kConsumerGroupHeartbeat,
        kAddPartitionsToTxn, kEndTxn}) {
    const auto [min, max] = wire::find_api(static_cast<int16_t>(key))->known;
    response.api_keys.push_back({.api_key = static_cast<int16_t>(key),
                                 .min_version = min,
                                 .max_version = std::max<int16_t>(min, int16_t(max - below))});
  }
  const auto level = static_cast<int16_t>(below % 2 == 0 ? 2 : 1);  // both protocols
  response.finalized_features.push_back(
      {.name = "transaction.version", .max_version_level = level, .min_version_level = level});
  return body = *wire::encode(response, version);
}

ProducerOptions producer_options(int first) {
  ProducerOptions options{.linger = {}};
  if (first != kSaysItself && (first & kTransactional) != 0)
    options.transaction = TransactionOptions{.id = "x"};
  return options;
}

class FuzzedClient {
 public:
  explicit FuzzedClient(int first)
      : versions_below_(first == kSaysItself ? first : first % kTransactional),
        producer_(cache_, producer_options(first)) {
    if (first != kSaysItself && first >= kConsumerProtocol)
      member_.emplace<ConsumerMembership>(ConsumerMembershipOptions{
          .group = "g", .member_id = "m", .topics = {"t"}, .regex = "t.*"});
    connect();
    fetch({{{"t", PartitionIndex(0)}, StartAt::earliest()},
           {{"t", PartitionIndex(1)}, {StartAt::Kind::kBeforeEnd, 3}},
           {{"u", PartitionIndex(0)}, {StartAt::Kind::kTimestamp, 7}}});
    if (producer_.transaction())
      follow(Producer::Event(Transaction::Event(Transaction::Init{})));
    else
      produce_all();
    tell(GroupVocabulary::Start{});
    settle();
  }

  void step(int kind, ByteView bytes) {
    if (kind == kAnswer) answer(bytes);
    if (kind == kStream) receive(bytes);
    if (kind == kTime) pass(milliseconds(100) * static_cast<int64_t>(bytes.size()));
    if (kind == kLost) take(connection_.resume(Connection::Lost{{Errc::kClosed, "cut"}}));
    settle();
    if (connection_.over()) connect();
    settle();
  }

  // No broker is there any more, and all patience is over.
  void end() {
    take(connection_.resume(Connection::Lost{{Errc::kClosed, "gone"}}));
    tell(GroupVocabulary::Leave{});
    settle();
    produce_all();  // what no transaction was open for
    pass(seconds(1000));
    follow(Producer::MetadataFailed{{Errc::kClosed, "gone"}});
    settle();
    ASSERT(waiting_.empty(), "CC1: {} calls have not ended", waiting_.size());
    ASSERT(producer_.idle() && producer_.buffered_bytes() == 0, "PR1: {}", producer_.describe());
    ASSERT(delivered_.size() == kRecordsToSend, "PR1: {} deliveries", delivered_.size());
  }

 private:
  struct Asked {
    wire::ApiKey api;
    int16_t version;
    int32_t correlation_id;
  };

  void connect() {
    connection_ = Connection({.max_answer_bytes = 1 << 20});
    asked_.clear();
    take(connection_.resume(Connection::Connected{}));
    if (versions_below_ != kSaysItself)
      answer(api_versions(versions_below_, asked_.front().version));
  }

  void receive(ByteView bytes) {
    while (!bytes.empty() && !connection_.over()) {
      const MutableByteView room = connection_.room();
      const ByteView piece = bytes.first(std::min(bytes.size(), room.size()));
      std::ranges::copy(piece, room.begin());
      bytes = bytes.subspan(piece.size());
      take(connection_.resume(Connection::Received{piece.size()}));
    }
  }

  // The oldest call is answered with `body`.
  void answer(ByteView body) {
    if (asked_.empty()) return;
    const Asked asked = asked_.front();
    asked_.pop_front();
    wire::Writer writer;
    writer.int32(0);
    wire::write(writer,
                wire::response_header_version(*wire::find_api(int16_t(asked.api)), asked.version),
                wire::ResponseHeader{.correlation_id = asked.correlation_id});
    writer.raw(body);
    writer.patch_int32(0, static_cast<int32_t>(writer.buffer().size() - 4));
    receive(writer.buffer());
  }

  void pass(Duration time) {
    now_ = now_ + time;
    follow(Fetcher::Tick{});
    follow(Producer::Tick{});
    GroupVocabulary::Offsets read;
    for (const auto& partition : owned())
      if (auto position = fetcher_.position(partition)) read[partition] = *position;
    if (!read.empty()) tell(GroupVocabulary::Commit{std::move(read)});
    tell(GroupVocabulary::Tick{});
  }

  // What an event leads to happens afterwards, as with a real client's loop.
  void settle() {
    while (!happening_.empty()) {
      auto next = std::move(happening_.front());
      happening_.pop_front();
      next();
    }
  }
  template <class Event>
  void later(Event event) {
    happening_.push_back([this, event = std::move(event)]() mutable { follow(std::move(event)); });
  }

  template <class Request>
  void ask(Request request, std::function<void(Result<ResponseOf<Request>>)> done) {
    const CallId id{++last_call_};
    waiting_[id] = [done = std::move(done)](const Result<Answer>& answer) {
      if (answer)
        done(response_to<Request>(*answer));
      else
        done(std::unexpected(answer.error()));
    };
    take(connection_.resume(Connection::Submitted{id, call_of(std::move(request))}));
  }

  void take(Connection::Action action) {
    for (size_t at = 0; at + 12 <= action.write.size();) {
      const uint8_t* frame = action.write.data() + at;
      asked_.push_back({.api = wire::ApiKey(load_big<int16_t>(frame + 4)),
                        .version = load_big<int16_t>(frame + 6),
                        .correlation_id = load_big<int32_t>(frame + 8)});
      at += 4 + static_cast<size_t>(load_big<int32_t>(frame));
    }
    for (auto& ended : action.ended) {
      auto waiting = waiting_.extract(ended.id);
      ASSERT(!waiting.empty(), "CC1: a call ends twice");
      happening_.push_back(
          [done = std::move(waiting.mapped()), answer = std::move(ended.answer)] { done(answer); });
    }
    ASSERT(!action.close || waiting_.empty(), "CC1: {} calls have not ended", waiting_.size());
  }

  // The cluster

  void refresh() {
    if (std::exchange(refreshing_, true)) return;
    ask(wire::MetadataRequest{}, [this](Result<wire::MetadataResponse> response) {
      refreshing_ = false;
      if (response) cache_.update(*response);
      later(Fetcher::MetadataRefreshed{});
      if (response)
        later(Producer::MetadataRefreshed{});
      else
        later(Producer::MetadataFailed{response.error()});
    });
  }

  // Reading

  void fetch(const std::map<TopicPartition, StartAt>& partitions) {
    for (const auto& [partition, start] : partitions) last_read_[partition] = kNothingRead;
    follow(Fetcher::Assign{partitions});
  }

  void follow(Fetcher::Event event) {
    auto action = fetcher_.resume(std::move(event), now_);
    for (const auto& record : action.records) {
      auto last = last_read_.find(record.partition);
      ASSERT(last != last_read_.end(), "FE3: {} is not assigned", record.partition.to_string());
      ASSERT(record.offset > last->second, "FE1: {} behind {}", record.offset, last->second);
      last->second = record.offset;
    }
    for (const auto& problem : action.problems) last_read_.erase(problem.partition);
    for (auto& each : action.sends) send(std::move(each));
    if (!action.refresh.empty()) refresh();
    ASSERT(!fetcher_.describe().empty());
  }

  void send(Fetcher::Send send) {
    if (auto* fetch = std::get_if<wire::FetchRequest>(&send.request))
      return ask(std::move(*fetch), [this, id = send.id](Result<wire::FetchResponse> response) {
        follow(Fetcher::Fetched{id, std::move(response)});
      });
    ask(std::move(std::get<wire::ListOffsetsRequest>(send.request)),
        [this, id = send.id](Result<wire::ListOffsetsResponse> response) {
          follow(Fetcher::Listed{id, std::move(response)});
        });
  }

  // Writing

  void produce_all() {
    while (next_tag_ < kRecordsToSend) {
      const uint64_t tag = next_tag_++;
      follow(Producer::Produce{{.tag = tag,
                                .topic = tag < 3 ? "t" : "u",
                                .partition = {},
                                .key = ByteBuffer(tag, 'k'),
                                .value = ByteBuffer(3, 'v'),
                                .headers = {}}});
    }
  }

  // All records in one transaction, which is aborted if it cannot be committed.
  void follow(const Transaction::Outcome& outcome) {
    if (outcome.failure && outcome.failure->fatal) return;
    if (producer_.transaction()->is_ready() && next_tag_ < kRecordsToSend) {
      follow(Producer::Event(Transaction::Event(Transaction::Begin{})));
      produce_all();
      follow(Producer::Event(Transaction::Event(Transaction::End{.commit = true})));
    } else if (outcome.failure) {
      follow(Producer::Event(Transaction::Event(Transaction::End{.commit = false})));
    }
  }

  void answered(Result<Transaction::Answer> answer) {
    later(Producer::Event(Transaction::Event(Transaction::Answered{std::move(answer)})));
  }
  void ask_for_transaction(Transaction::Question& question) {
    std::visit(
        [&]<class Question>(Question& each) {
          if constexpr (std::same_as<Question, Transaction::AskFeatures>)
            answered(connection_.broker());
          else if constexpr (std::same_as<Question, Transaction::FindCoordinator>)
            find_coordinator(
                each.key, [this](Result<FoundCoordinator> found) { answered(std::move(found)); });
          else
            ask<Question>(std::move(each), [this](Result<ResponseOf<Question>> response) {
              answered(std::move(response));
            });
        },
        question);
  }

  void follow(Producer::Event event) {
    auto action = producer_.resume(std::move(event), now_);
    for (const auto& delivery : action.deliveries)
      ASSERT(delivery.tag < kRecordsToSend && delivered_.insert(delivery.tag).second,
             "PR1: record {} again", delivery.tag);
    for (auto& send : action.sends)
      ask(std::move(send.request), [this, id = send.id, bytes = std::move(send.bytes)](
                                       Result<wire::ProduceResponse> response) {
        later(Producer::Produced{id, std::move(response)});
      });
    if (action.identify)
      ask(std::move(*action.identify), [this](Result<wire::InitProducerIdResponse> response) {
        later(Producer::Identified{std::move(response)});
      });
    if (!action.refresh.empty()) refresh();
    if (action.ask) ask_for_transaction(action.ask->question);
    if (action.outcome)
      happening_.push_back([this, outcome = std::move(*action.outcome)] { follow(outcome); });
    ASSERT(!producer_.describe().empty());
  }

  // The group

  std::set<TopicPartition> owned() const {
    return std::visit([](const auto& member) -> std::set<TopicPartition> { return member.owned(); },
                      member_);
  }

  template <class Event>
  void tell(Event event) {
    std::visit(
        [&]<class Member>(Member& member) {
          if constexpr (std::constructible_from<typename Member::Event, Event>) {
            auto action = member.resume(std::move(event), now_);
            follow<Member>(action);
          }
        },
        member_);
  }
  template <class Event>
  void tell_later(Event event) {
    happening_.push_back([this, event = std::move(event)]() mutable { tell(std::move(event)); });
  }

  template <class Event, class Request>
  void ask_member(Request request) {
    ask<Request>(std::move(request), [this](Result<ResponseOf<Request>> response) {
      tell_later(Event{std::move(response)});
    });
  }

  template <class Member>
  void follow(Member::Action& action) {
    if (action.find_coordinator)
      find_coordinator("g", [this](Result<FoundCoordinator> found) {
        tell_later(GroupVocabulary::Coordinator{std::move(found)});
      });
    for (auto& request : action.requests) send<Member>(std::move(request));
    if constexpr (std::same_as<Member, Membership>) {
      if (action.know) know(*action.know);
    } else {
      if (!action.resolve.empty()) resolve(action.resolve);
    }
    if (!action.revoke.empty()) {
      for (const auto& partition : action.revoke) last_read_.erase(partition);
      follow(Fetcher::Revoke{action.revoke});
      tell_later(GroupVocabulary::Revoked{});
    }
    std::map<TopicPartition, StartAt> assigned;
    for (const auto& [partition, offset] : action.assigned) {
      ASSERT(owned().contains(partition), "ME1, CM1: {}", partition.to_string());
      assigned[partition] = offset ? StartAt::offset(*offset) : StartAt::latest();
    }
    if (!assigned.empty()) fetch(assigned);
    std::visit([](const auto& member) { ASSERT(!member.describe().empty()); }, member_);
  }

  void find_coordinator(const std::string& key,
                        std::function<void(Result<FoundCoordinator>)> done) {
    ask<wire::FindCoordinatorRequest>(
        {.coordinator_keys = {key}},
        [this, done = std::move(done)](Result<wire::FindCoordinatorResponse> response) {
          if (!response || response->coordinators.empty())
            return done(fail(Errc::kCorrupt, "no answer"));
          const auto& found = response->coordinators.front();
          cache_.note_broker(NodeId(found.node_id), found.host, found.port);
          done(FoundCoordinator{NodeId(found.node_id), found.error_code, found.error_message});
        });
  }

  template <class Member>
  void send(Member::Request request) {
    std::visit(
        [&]<class Request>(Request& each) {
          if constexpr (std::same_as<Request, wire::JoinGroupRequest>)
            ask_member<Membership::Joined>(std::move(each));
          else if constexpr (std::same_as<Request, wire::SyncGroupRequest>)
            ask_member<Membership::Synced>(std::move(each));
          else if constexpr (std::same_as<Request, wire::OffsetFetchRequest>)
            ask_member<GroupVocabulary::OffsetsFetched>(std::move(each));
          else if constexpr (std::same_as<Request, wire::OffsetCommitRequest>)
            ask_member<GroupVocabulary::Committed>(std::move(each));
          else if constexpr (std::same_as<Request, wire::LeaveGroupRequest>)
            ask<Request>(std::move(each), [this](const Result<wire::LeaveGroupResponse>&) {
              tell_later(Membership::Left{});
            });
          else
            ask_member<typename Member::Beaten>(std::move(each));
        },
        request);
  }

  void know(const std::set<std::string>& topics) {
    PartitionCounts counts;
    for (const auto& name : topics) {
      const TopicInfo* topic = cache_.topic(name);
      counts[name] = topic ? static_cast<int32_t>(topic->partitions.size()) : 0;
    }
    tell_later(Membership::PartitionsKnown{std::move(counts)});
  }

  void resolve(const std::set<Uuid>& topics) {
    tell_later(ConsumerMembership::NamesKnown{cache_.names_of(topics)});
  }

  const int versions_below_;
  Instant now_{seconds(1)};
  Connection connection_;
  std::deque<Asked> asked_;
  std::map<CallId, std::function<void(const Result<Answer>&)>> waiting_;
  std::deque<std::move_only_function<void()>> happening_;
  uint64_t last_call_ = 0;
  bool refreshing_ = false;
  MetadataCache cache_;
  Fetcher fetcher_{cache_, {.read_committed = true, .max_unpacked_bytes = 1 << 20}};
  Producer producer_;
  uint64_t next_tag_ = 0;  // of the records to send
  std::variant<Membership, ConsumerMembership> member_{
      std::in_place_type<Membership>, MembershipOptions{.group = "g", .topics = {"t"}}};
  std::map<TopicPartition, Offset> last_read_;
  std::set<uint64_t> delivered_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  FuzzedClient client(data[0]);
  for (size_t at = 1; at + 3 <= size;) {
    const size_t length = std::min<size_t>(load_big<uint16_t>(data + at + 1), size - at - 3);
    client.step(data[at] % kStepKinds, {data + at + 3, length});
    at += 3 + length;
  }
  client.end();
  return 0;
}
