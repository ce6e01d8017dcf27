#include "sim/share_oracle.h"

#include <algorithm>
#include <limits>

namespace millrace::sim {
namespace {

// What a broker has got of one who is gone it may take up so much later.
constexpr Duration kUnderWay = seconds(15);
constexpr int8_t kAccept = 1, kRelease = 2, kRenew = 4;

}  // namespace

bool ShareOracle::is_same(const std::weak_ptr<const void>& one,
                          const std::weak_ptr<const void>& other) {
  const std::weak_ptr<const void> none;
  const auto differ = [](const auto& a, const auto& b) {
    return a.owner_before(b) || b.owner_before(a);
  };
  return differ(one, none) && !differ(one, other);
}

ShareOracle::Request ShareOracle::begin(NodeId broker, ShareSessionId session,
                                        const std::set<int32_t>& partitions, bool reads) {
  Request request{
      .broker = broker, .session = session, .sent = world_->now(), .leading = {}, .reads = reads};
  for (const int32_t partition : partitions) {
    request.leading[partition] = view_.leading(broker, partition);
    if (reads) ++reading_[partition];
  }
  return request;
}

void ShareOracle::answered(const Request& request) {
  if (request.reads)
    for (const auto& [partition, leading] : request.leading) --reading_[partition];
  for (Suspicion& each : suspicions_) {
    if (request.sent <= each.since || each.unproven.erase(request.session) == 0) continue;
    const bool is_excused = each.place.offset < view_.excused_below(each.place.partition);
    if (each.unproven.empty() && !is_excused) world_->violated("SH1", each.text);
  }
  std::erase_if(suspicions_, [](const Suspicion& each) { return each.unproven.empty(); });
}

void ShareOracle::lost(const Request& request) {
  if (!request.reads) return;
  for (const auto& [partition, leading] : request.leading) {
    --reading_[partition];
    auto& ends = lost_[partition];
    ends.push_back(std::numeric_limits<int64_t>::max());
    world_->after(kUnderWay, Owner::kScenario, [this, partition = partition, &end = ends.back()] {
      end = view_.log_end(partition);
    });
  }
}

void ShareOracle::is_over(ShareSessionId session) {
  std::erase_if(suspicions_, [&](const auto& each) { return each.unproven.contains(session); });
  const auto claimed = claimed_.extract(session);
  if (claimed.empty()) return;
  for (const Place& place : claimed.mapped())
    std::erase_if(at(place).claims, [&](const Claim& each) { return each.session == session; });
}

std::weak_ptr<const void> ShareOracle::life_of(const Request& request, int32_t partition) const {
  const auto then = request.leading.find(partition);
  if (then == request.leading.end()) return {};
  const ShareLeading now = view_.leading(request.broker, partition);
  return is_same(then->second.life, now.life) ? now.life : std::weak_ptr<const void>();
}

// Who leads as the broker did when the request came has read what was kept before the mark.
bool ShareOracle::must_know(const Request& request, int32_t partition, const Mark& mark) const {
  const auto then = request.leading.find(partition);
  return then != request.leading.end() && request.sent > mark.at &&
         then->second.epoch >= mark.epoch && mark.epoch >= 0;
}

int64_t ShareOracle::lost_since(const Place& place) const {
  const auto lost = lost_.find(place.partition);
  if (lost == lost_.end()) return 0;
  return std::ranges::count_if(lost->second, [&](int64_t end) { return end > place.offset; });
}

bool ShareOracle::has_lost_few(int32_t partition) const {
  const auto lost = lost_.find(partition);
  return lost == lost_.end() || std::cmp_less(lost->second.size(), rules_.delivery_limit);
}

void ShareOracle::acquired(const Request& request, int32_t partition, const Range& range) {
  for (int64_t offset = range.first; offset <= range.last && !world_->has_failed(); ++offset) {
    check_delivery(request, {partition, offset}, range.delivery_count);
    claim(request, {partition, offset});
  }
}

void ShareOracle::check_delivery(const Request& request, const Place& place,
                                 int16_t delivery_count) {
  Record& record = at(place);
  const auto life = life_of(request, place.partition);
  const bool is_excused = place.offset < view_.excused_below(place.partition);
  if (record.ended && !is_excused && must_know(request, place.partition, *record.ended))
    world_->violated("SH2", fmt::format("broker {} gives {}-{} again, which was done with",
                                        request.broker, place.partition, place.offset));
  check_count(request, place, delivery_count);
  const bool rises = !record.last || !is_same(record.by, life) || request.sent <= record.last->at ||
                     delivery_count > record.last->delivery_count;
  if (!rises)
    world_->violated(
        "SH4",
        fmt::format("the delivery count of {}-{} was {} and is {} at the next delivery",
                    place.partition, place.offset, record.last->delivery_count, delivery_count));
  ++record.seen;
  record.last = Mark{.at = world_->now(), .delivery_count = delivery_count};
  record.by = life;
}

void ShareOracle::check_count(const Request& request, const Place& place, int16_t delivery_count) {
  const Record& record = at(place);
  if (delivery_count < 1 || delivery_count > rules_.delivery_limit)
    world_->violated(
        "SH4", fmt::format("{}-{} has the delivery count {}, the limit is {}", place.partition,
                           place.offset, delivery_count, rules_.delivery_limit));
  const int64_t most = 1 + record.seen + lost_since(place) + reading_[place.partition];
  if (delivery_count > most)
    world_->violated("SH4", fmt::format("{}-{} has the delivery count {}, but was given {} times "
                                        "at most",
                                        place.partition, place.offset, delivery_count, most));
  if (record.released && must_know(request, place.partition, *record.released) &&
      delivery_count <= record.released->delivery_count)
    world_->violated("SH4", fmt::format("{}-{} has the delivery count {}, and was released with {}",
                                        place.partition, place.offset, delivery_count,
                                        record.released->delivery_count));
}

void ShareOracle::claim(const Request& request, const Place& place) {
  const auto life = life_of(request, place.partition);
  if (!is_same(life, life)) return;
  Record& record = at(place);
  std::erase_if(record.claims, [&](const Claim& each) {
    return !is_same(each.life, life) || world_->now() >= each.sent + rules_.lock;
  });
  for (const Claim& other : record.claims)
    if (other.received < request.sent + rules_.lock)
      suspect(
          place, {other.session, request.session},
          fmt::format("broker {} gives {}-{} to session {} while session {} has it", request.broker,
                      place.partition, place.offset, static_cast<uint64_t>(request.session),
                      static_cast<uint64_t>(other.session)));
  record.claims.push_back(
      {.session = request.session, .sent = request.sent, .received = world_->now(), .life = life});
  claimed_[request.session].insert(place);
}

void ShareOracle::suspect(const Place& place, std::set<ShareSessionId> sessions, std::string text) {
  suspicions_.push_back({.place = place,
                         .unproven = std::move(sessions),
                         .since = world_->now(),
                         .text = std::move(text)});
}

void ShareOracle::says(ShareSessionId session, const std::vector<Said>& said) {
  for (const Said& each : said) {
    if (each.type == kRenew) continue;
    const Place place{each.partition, each.offset};
    at(place).unjudged += each.type != kRelease;
    std::erase_if(at(place).claims, [&](const Claim& one) { return one.session == session; });
  }
}

void ShareOracle::judged(const Request& request, const Said& said, Verdict verdict) {
  const Place place{said.partition, said.offset};
  Record& record = at(place);
  const bool ends = said.type != kRelease && said.type != kRenew;
  if (ends) --record.unjudged;
  if (ends && verdict != Verdict::kRefused) record.may_be_ended = true;
  if (verdict != Verdict::kKept) return;
  const auto life = life_of(request, said.partition);
  for (const Claim& other : record.claims)
    if (other.session != request.session && is_same(other.life, life) &&
        other.received < request.sent && world_->now() < other.sent + rules_.lock)
      suspect(place, {other.session},
              fmt::format("broker {} takes what session {} says of {}-{}, which session {} has",
                          request.broker, static_cast<uint64_t>(request.session), place.partition,
                          place.offset, static_cast<uint64_t>(other.session)));
  const Mark mark{.at = world_->now(),
                  .epoch = view_.newest_epoch(said.partition),
                  .delivery_count = said.delivery_count};
  if (ends) record.ended = record.ended.value_or(mark);
  if (said.type == kRelease && said.delivery_count > 0) record.released = mark;
  accepted_ += said.type == kAccept;
}

void ShareOracle::check(int32_t partition, const std::map<int64_t, std::string>& acknowledged) {
  const int64_t excused = view_.excused_below(partition);
  for (const auto& [offset, value] : acknowledged) {
    if (offset < excused || world_->has_failed()) continue;
    const Place place{partition, offset};
    const Record& record = at(place);
    if (record.may_be_ended || record.unjudged > 0) continue;
    if (record.seen + lost_since(place) >= rules_.delivery_limit) continue;
    world_->violated("SH3", fmt::format("{}-{} was given {} times, {} answers were lost, and "
                                        "nobody is done with it",
                                        partition, offset, record.seen, lost_since(place)));
  }
}

}  // namespace millrace::sim
