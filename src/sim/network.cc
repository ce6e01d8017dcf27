#include "sim/network.h"

#include <algorithm>
#include <array>

#include "sim/host.h"

namespace millrace::sim {
namespace {

constexpr size_t kWindowBytes = 128 * 1024;
constexpr Duration kCutCheck = milliseconds(10);
constexpr Duration kConnectTime = seconds(20);
constexpr Duration kConnectAgain = milliseconds(500);
constexpr Duration kMeanProbe = seconds(1);
constexpr double kRefusalChance = 0.5;  // of one who connects through a cut

}  // namespace

// Two streams; stream i carries what end i writes.
struct Link : std::enable_shared_from_this<Link> {
  struct Pipe {
    struct Chunk {
      Instant arrives;
      ByteBuffer bytes;  // empty: the writer closed
    };
    std::deque<Chunk> under_way;
    std::deque<uint8_t> arrived;
    size_t unread_bytes = 0;  // under way or arrived
    bool finished = false;
    bool delivering = false;
  };

  explicit Link(Network& n) : network(&n) {}

  Network::Way way_from(size_t side) const { return {hosts[side], hosts[1 - side]}; }

  void send(size_t side, ByteBuffer bytes) {
    if (is_silent(side)) return;
    if (side == 0 && network->tap) network->tap({number, hosts[0], {hosts[1], port}, bytes});
    Pipe& pipe = pipes[side];
    World& world = network->world();
    Instant arrives = world.now() + network->draw_delay(way_from(side));
    if (!pipe.under_way.empty()) arrives = std::max(arrives, pipe.under_way.back().arrives);
    pipe.unread_bytes += bytes.size();
    pipe.under_way.push_back({arrives, std::move(bytes)});
    deliver_later(side, arrives);
  }

  void deliver_later(size_t side, Instant when) {
    if (std::exchange(pipes[side].delivering, true)) return;
    network->world().at(when, Owner::kScenario, [self = shared_from_this(), side] {
      self->pipes[side].delivering = false;
      self->deliver(side);
    });
  }

  void deliver(size_t side) {
    Pipe& pipe = pipes[side];
    World& world = network->world();
    if (broken[side] || pipe.under_way.empty()) return;
    if (network->is_cut(way_from(side)) || network->is_dark(hosts[1 - side]))
      return deliver_later(side, world.now() + kCutCheck);
    if (broken[1 - side]) return tell_of_break(side);
    while (!pipe.under_way.empty() && pipe.under_way.front().arrives <= world.now()) {
      const ByteBuffer& bytes = pipe.under_way.front().bytes;
      world.mix(bytes.size());
      if (bytes.empty()) pipe.finished = true;
      pipe.arrived.insert(pipe.arrived.end(), bytes.begin(), bytes.end());
      pipe.under_way.pop_front();
    }
    if (!pipe.under_way.empty()) deliver_later(side, pipe.under_way.front().arrives);
    if (ends[1 - side]) ends[1 - side]->changed();
  }

  void break_end(size_t side) {
    broken[side] = true;
    if (ends[side]) ends[side]->changed();
  }

  // The other machine says that it knows nothing of this connection.
  void tell_of_break(size_t side) {
    World& world = network->world();
    const Duration delay = network->draw_delay(way_from(1 - side));
    world.after(delay, Owner::kScenario, [self = shared_from_this(), side] {
      if (self->broken[side]) return;
      if (!self->network->is_cut(self->way_from(1 - side))) return self->break_end(side);
      self->network->world().after(kCutCheck, Owner::kScenario,
                                   [self, side] { self->tell_of_break(side); });
    });
  }

  // A host that is dead but has not noticed says nothing any more.
  bool is_silent(size_t side) const {
    return !hosts[side].empty() && silent[side] && *silent[side];
  }

  Network* network;
  std::array<Pipe, 2> pipes;
  std::array<Connection*, 2> ends{};
  std::array<std::string, 2> hosts;
  std::array<std::shared_ptr<bool>, 2> silent;
  std::array<uint16_t, 2> ports{};
  uint64_t number = 0;
  uint16_t port = 0;             // that was connected to
  std::array<bool, 2> broken{};  // of each end
};

void Network::heal() {
  cut_hosts_.clear();
  cut_.clear();
  late_.clear();
}

bool Network::is_cut(const Way& way) const {
  return cut_hosts_.contains(way.from) || cut_hosts_.contains(way.to) || cut_.contains(way);
}

Duration Network::draw_delay(const Way& way) {
  const Duration delay = world_->network.around(mean_delay);
  auto late = late_.find(way);
  if (late == late_.end() || late->second == Duration(0)) return delay;
  return delay + world_->network.around(late->second);
}

std::string Network::literal_of(const std::string& host) {
  auto found = std::ranges::find(names_, host);
  if (found == names_.end()) found = names_.insert(names_.end(), host);
  return fmt::format("10.0.0.{}", found - names_.begin() + 1);
}

std::vector<std::shared_ptr<Link>> Network::links_of(const std::string& host) {
  std::erase_if(links_, [](auto& link) { return link.expired(); });
  std::vector<std::shared_ptr<Link>> found;
  for (auto& weak : links_) {
    auto link = weak.lock();
    if (link->hosts[0] == host || link->hosts[1] == host) found.push_back(std::move(link));
  }
  return found;
}

void Network::reset_all(const std::string& host) {
  for (auto& link : links_of(host)) {
    link->break_end(0);
    link->break_end(1);
  }
}

void Network::reset_between(const Way& way) {
  for (auto& link : links_of(way.from)) {
    if (link->hosts[0] != way.to && link->hosts[1] != way.to) continue;
    link->break_end(0);
    link->break_end(1);
  }
}

void Network::died(const std::string& host, Death death) {
  if (death == Death::kMachine) dark_.insert(host);
  for (auto& link : links_of(host)) {
    for (size_t side = 0; side < 2; ++side) {
      if (link->hosts[side] != host) continue;
      link->break_end(side);
      if (death == Death::kProcess) link->tell_of_break(1 - side);
    }
  }
}

// Who still believes in a connection with the machine finds out, some when it probes.
void Network::appeared(const std::string& host) {
  if (dark_.erase(host) == 0) return;
  for (auto& link : links_of(host))
    for (size_t side = 0; side < 2; ++side)
      if (link->hosts[side] == host && link->broken[side])
        world_->after(world_->network.around(kMeanProbe), Owner::kScenario,
                      [link, side] { link->tell_of_break(1 - side); });
}

Result<> Network::listen(const env::Address& address, Listening listening) {
  if (!listeners_.emplace(key_of(address), std::move(listening)).second)
    return fail(Errc::kExists, "listen on " + address.to_string() + ": Address already in use");
  return {};
}

void Network::connect(Host& from, env::Shard& shard, const env::Address& to,
                      env::ConnectFunction done) {
  auto attempt = std::make_shared<Attempt>(
      Attempt{&from, &shard, key_of(to), std::move(done), world_->now() + kConnectTime});
  const Duration delay = draw_delay({from.name(), to.host});
  world_->after(delay, from.owner(), [this, attempt] { try_to_connect(attempt); });
}

void Network::try_to_connect(std::shared_ptr<Attempt> attempt) {
  const auto& [host, port] = attempt->to;
  const std::string& from = attempt->from->name();
  if (is_cut({from, host}) || is_cut({host, from}) || is_dark(host)) {
    if (world_->now() >= attempt->until || world_->network.chance(kRefusalChance))
      return attempt->done(fail(Errc::kClosed, "connect: No route to host"));
    world_->after(kConnectAgain, attempt->from->owner(),
                  [this, attempt] { try_to_connect(attempt); });
    return;
  }
  auto found = listeners_.find(attempt->to);
  if (found == listeners_.end() || found->second.host->is_silent())
    return attempt->done(fail(Errc::kClosed, "connect: Connection refused"));
  open_link(*attempt, found->second);
}

void Network::open_link(Attempt& attempt, const Listening& listening) {
  auto link = std::make_shared<Link>(*this);
  link->hosts = {attempt.from->name(), listening.host->name()};
  link->silent = {attempt.from->silence(), listening.host->silence()};
  link->ports[0] = ++last_port_;
  link->number = ++last_link_;
  link->port = attempt.to.second;
  std::erase_if(links_, [](auto& old) { return old.expired(); });
  links_.push_back(link);
  Shard& target = listening.host->next_shard();
  auto accepted = std::make_unique<Connection>(link, 1, target);
  target.post([accept = listening.accept, &target, stream = std::move(accepted)]() mutable {
    accept(target, std::move(stream));
  });
  auto& shard = static_cast<Shard&>(*attempt.shard);
  shard.post([done = std::move(attempt.done),
              stream = std::make_unique<Connection>(link, 0, shard)]() mutable {
    done(std::move(stream));
  });
}

Connection::Connection(std::shared_ptr<Link> link, size_t side, Shard& shard)
    : link_(std::move(link)), side_(side), shard_(&shard) {
  link_->ends[side_] = this;
  shard_->add(*this);
}

void Connection::abandon() {
  link_->ends[side_] = nullptr;
  link_->broken[side_] = true;
  events_ = nullptr;
  shard_ = nullptr;
}

Connection::~Connection() {
  if (shard_ == nullptr) return;
  shard_->remove(*this);
  link_->ends[side_] = nullptr;
  if (!link_->broken[side_]) link_->send(side_, {});
}

void Connection::watch_read(bool on) {
  watches_read_ = on;
  if (on) changed();
}

void Connection::watch_write(bool on) {
  watches_write_ = on;
  if (on) changed();
}

bool Connection::can_read() const {
  const Link::Pipe& pipe = link_->pipes[1 - side_];
  return link_->broken[side_] || pipe.finished || !pipe.arrived.empty();
}

bool Connection::can_write() const {
  return link_->broken[side_] || link_->pipes[side_].unread_bytes < kWindowBytes;
}

bool Connection::has_something_to_deliver() const {
  return events_ && ((watches_read_ && can_read()) || (watches_write_ && can_write()));
}

void Connection::changed() {
  if (has_something_to_deliver()) shard_->wake();
}

bool Connection::deliver() {
  if (events_ && watches_read_ && can_read()) {
    events_->readable();
    return true;  // this may be gone by now
  }
  if (events_ && watches_write_ && can_write()) {
    events_->writable();
    return true;
  }
  return false;
}

Result<size_t> Connection::read(MutableByteView into) {
  Link::Pipe& pipe = link_->pipes[1 - side_];
  if (link_->broken[side_]) return fail(Errc::kClosed, "read: Connection reset by peer");
  if (pipe.arrived.empty() && pipe.finished) return 0;
  if (pipe.arrived.empty()) return fail(Errc::kWouldBlock, "nothing there");
  World& world = link_->network->world();
  const auto most = static_cast<size_t>(
      world.network.between({1, static_cast<int64_t>(link_->network->largest_piece)}));
  const size_t count = std::min({pipe.arrived.size(), into.size(), most});
  std::copy_n(pipe.arrived.begin(), count, into.begin());
  pipe.arrived.erase(pipe.arrived.begin(), pipe.arrived.begin() + static_cast<ptrdiff_t>(count));
  pipe.unread_bytes -= count;
  if (link_->ends[1 - side_]) link_->ends[1 - side_]->changed();
  return count;
}

Result<size_t> Connection::write(std::span<const ByteView> pieces, bool) {
  if (link_->broken[side_] || link_->pipes[1 - side_].finished)
    return fail(Errc::kClosed, "write: Connection reset by peer");
  if (!can_write()) return fail(Errc::kWouldBlock, "the window is full");
  size_t room = kWindowBytes - link_->pipes[side_].unread_bytes;
  ByteBuffer bytes;
  for (ByteView piece : pieces) {
    const size_t count = std::min(room, piece.size());
    bytes.insert(bytes.end(), piece.begin(), piece.begin() + static_cast<ptrdiff_t>(count));
    room -= count;
  }
  const size_t taken = bytes.size();
  if (taken > 0) link_->send(side_, std::move(bytes));
  return taken;
}

Result<size_t> Connection::send_file(env::File& file, uint64_t position, size_t length) {
  if (link_->broken[side_]) return fail(Errc::kClosed, "sendfile: Connection reset by peer");
  if (!can_write()) return fail(Errc::kWouldBlock, "the window is full");
  ByteBuffer bytes(std::min(length, kWindowBytes - link_->pipes[side_].unread_bytes));
  ASSIGN_OR_RETURN(size_t got, file.read_at(bytes, position));
  bytes.resize(got);
  const ByteView whole = bytes;
  return got == 0 ? Result<size_t>(0) : write({&whole, 1}, false);
}

std::string Connection::peer() const {
  return peer_host() + ":" + std::to_string(link_->ports[1 - side_]);
}

std::string Connection::peer_host() const {
  return link_->network->literal_of(link_->hosts[1 - side_]);
}

}  // namespace millrace::sim
