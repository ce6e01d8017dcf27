#include "sim/hog.h"

#include "wire/api_table.h"
#include "wire/codec.h"
#include "wire/describe_configs.h"
#include "wire/headers.h"
#include "wire/produce.h"

namespace millrace::sim {
namespace {

constexpr int16_t kProduceVersion = 9;
constexpr int16_t kDescribeVersion = 4;
constexpr int8_t kBrokerResource = 4;
constexpr Range kQuestions{10, 80};
constexpr Range kRequestBytes{20'000, static_cast<int64_t>(Hog::kLargestRequest) - 1000};
constexpr Range kBurstBytes{1, 60'000};
constexpr Duration kMeanPause = milliseconds(20);   // between bursts
constexpr Duration kMeanRest = milliseconds(1500);  // between turns
constexpr double kQuestionsChance = 0.3;

template <class Request>
void add_frame(ByteBuffer& bytes, const Request& request, int16_t version) {
  const wire::ApiInfo& info = *wire::find_api(Request::kApiKey);
  wire::Writer writer;
  writer.int32(0);
  write(writer, wire::request_header_version(info, version),
        wire::RequestHeader{.request_api_key = Request::kApiKey,
                            .request_api_version = version,
                            .correlation_id = 1,
                            .client_id = "hog"});
  ByteBuffer frame = std::move(writer).take();
  const auto body = wire::encode(request, version);
  frame.insert(frame.end(), body->begin(), body->end());
  store_big<int32_t>(frame.data(), static_cast<int32_t>(frame.size() - 4));
  bytes.insert(bytes.end(), frame.begin(), frame.end());
}

}  // namespace

Hog::Hog(const Site& site)
    : host_(site.host),
      shard_(&host_->shard(0)),
      dice_(host_->world().workload.next()),
      broker_(site.bootstrap[dice_.below(site.bootstrap.size())]) {}

Hog::~Hog() {
  if (stream_) stream_->set_events(nullptr);
}

void Hog::start() {
  shard_->after(dice_.around(kMeanRest), [this] { begin(); });
}

void Hog::begin() {
  if (finishing_) return;
  busy_ = true;
  host_->connect(*shard_, broker_, [this, alive = std::weak_ptr(alive_)](auto stream) {
    if (alive.expired()) return;
    if (!stream) return end();
    stream_ = std::move(*stream);
    stream_->set_events(this);
    prepare();
    go_on();
  });
}

// One large request to a topic that is not there; or many that have large answers, which are not
// read before a while is over.
void Hog::prepare() {
  outgoing_.clear();
  incoming_.clear();
  reads_ = !dice_.chance(kQuestionsChance);
  unanswered_ = reads_ ? 1 : static_cast<size_t>(dice_.between(kQuestions));
  if (reads_) {
    const ByteBuffer records(static_cast<size_t>(dice_.between(kRequestBytes)));
    wire::ProduceRequest request{.acks = -1, .timeout_ms = 1000};
    request.topic_data.push_back({.name = "nowhere"});
    request.topic_data[0].partition_data.push_back(
        {.index = 0, .records = wire::Records::of(records)});
    add_frame(outgoing_, request, kProduceVersion);
  } else {
    wire::DescribeConfigsRequest request{.include_synonyms = true, .include_documentation = true};
    request.resources.push_back({.resource_type = kBrokerResource, .resource_name = "1"});
    for (size_t i = 0; i < unanswered_; ++i) add_frame(outgoing_, request, kDescribeVersion);
    shard_->after(dice_.around(kMeanRest), [this, turn = turn_, alive = std::weak_ptr(alive_)] {
      if (alive.expired() || turn != turn_ || !stream_) return;
      reads_ = true;
      stream_->watch_read(true);
    });
  }
  stream_->watch_read(reads_);
}

void Hog::go_on() {
  shard_->after(dice_.around(kMeanPause), [this, turn = turn_, alive = std::weak_ptr(alive_)] {
    if (alive.expired() || turn != turn_ || !stream_) return;
    send_burst();
  });
}

void Hog::send_burst() {
  const auto most = static_cast<size_t>(dice_.between(kBurstBytes));
  const ByteView burst = ByteView(outgoing_).first(std::min(most, outgoing_.size()));
  auto sent = stream_->write({&burst, 1}, false);
  if (!sent && sent.error().code != Errc::kWouldBlock) return end();
  if (sent) outgoing_.erase(outgoing_.begin(), outgoing_.begin() + static_cast<ptrdiff_t>(*sent));
  if (!outgoing_.empty()) go_on();
}

void Hog::readable() {
  ByteBuffer bytes(65536);
  auto got = stream_->read(bytes);
  if (!got && got.error().code == Errc::kWouldBlock) return;
  if (!got || *got == 0) return end();
  incoming_.insert(incoming_.end(), bytes.begin(), bytes.begin() + static_cast<ptrdiff_t>(*got));
  take_answers();
}

void Hog::take_answers() {
  size_t used = 0;
  while (unanswered_ > 0 && incoming_.size() - used >= 4) {
    const auto size = load_big<uint32_t>(incoming_.data() + used);
    if (incoming_.size() - used - 4 < size) break;
    used += 4 + size;
    --unanswered_;
  }
  incoming_.erase(incoming_.begin(), incoming_.begin() + static_cast<ptrdiff_t>(used));
  if (unanswered_ == 0) end();
}

void Hog::end() {
  ++turn_;
  busy_ = false;
  if (stream_) stream_->set_events(nullptr);
  // The stream may be calling us: it goes with the next turn.
  if (stream_) shard_->post([last = std::shared_ptr(std::move(stream_))] {});
  start();
}

}  // namespace millrace::sim
