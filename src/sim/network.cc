#include "sim/network.h"

#include <algorithm>
#include <array>

#include "sim/host.h"

namespace millrace::sim {
namespace {

constexpr size_t kWindowBytes = 128 * 1024;
constexpr Duration kCutCheck = milliseconds(10);

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

  void send(size_t side, ByteBuffer bytes) {
    if (is_silent(side)) return;
    Pipe& pipe = pipes[side];
    World& world = network->world();
    Instant arrives = world.now() + world.network.around(network->mean_delay);
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
    if (reset || pipe.under_way.empty()) return;
    if (network->is_cut(*this)) return deliver_later(side, world.now() + kCutCheck);
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
  bool reset = false;
};

void Network::cut(const std::string& host) { cut_hosts_.insert(host); }
void Network::heal() { cut_hosts_.clear(); }

bool Network::is_cut(const Link& link) const {
  return cut_hosts_.contains(link.hosts[0]) || cut_hosts_.contains(link.hosts[1]);
}

void Network::reset_all(const std::string& host) {
  std::erase_if(links_, [](auto& link) { return link.expired(); });
  for (auto& weak : links_) {
    auto link = weak.lock();
    if (!link || (link->hosts[0] != host && link->hosts[1] != host)) continue;
    link->reset = true;
    for (Connection* end : link->ends)
      if (end) end->changed();
  }
}

Result<> Network::listen(const env::Address& address, Listening listening) {
  if (!listeners_.emplace(address.port, std::move(listening)).second)
    return fail(Errc::kExists, "listen on " + address.to_string() + ": Address already in use");
  return {};
}

void Network::connect(Host& from, env::Shard& shard, uint16_t port, env::ConnectFunction done) {
  auto attempt = [this, &from, &shard, port, done = std::move(done)]() mutable {
    auto found = listeners_.find(port);
    const bool cut = cut_hosts_.contains(from.name()) ||
                     (found != listeners_.end() && cut_hosts_.contains(found->second.host->name()));
    if (found == listeners_.end() || cut || found->second.host->is_silent())
      return done(fail(Errc::kClosed, "connect: Connection refused"));
    open_link(from, static_cast<Shard&>(shard), found->second, std::move(done));
  };
  world_->after(world_->network.around(mean_delay), from.owner(), std::move(attempt));
}

void Network::open_link(Host& from, Shard& shard, const Listening& listening,
                        env::ConnectFunction done) {
  auto link = std::make_shared<Link>(*this);
  link->hosts = {from.name(), listening.host->name()};
  link->silent = {from.silence(), listening.host->silence()};
  link->ports[0] = ++last_port_;
  std::erase_if(links_, [](auto& old) { return old.expired(); });
  links_.push_back(link);
  Shard& target = listening.host->next_shard();
  auto accepted = std::make_unique<Connection>(link, 1, target);
  target.post([accept = listening.accept, &target, stream = std::move(accepted)]() mutable {
    accept(target, std::move(stream));
  });
  shard.post([done = std::move(done), stream = std::make_unique<Connection>(
                                          link, 0, shard)]() mutable { done(std::move(stream)); });
}

Connection::Connection(std::shared_ptr<Link> link, size_t side, Shard& shard)
    : link_(std::move(link)), side_(side), shard_(&shard) {
  link_->ends[side_] = this;
  shard_->add(*this);
}

Connection::~Connection() {
  shard_->remove(*this);
  link_->ends[side_] = nullptr;
  if (!link_->reset) link_->send(side_, {});
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
  return link_->reset || pipe.finished || !pipe.arrived.empty();
}

bool Connection::can_write() const {
  return link_->reset || link_->pipes[side_].unread_bytes < kWindowBytes;
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
  if (link_->reset) return fail(Errc::kClosed, "read: Connection reset by peer");
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
  if (link_->reset || link_->pipes[1 - side_].finished)
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
  if (link_->reset) return fail(Errc::kClosed, "sendfile: Connection reset by peer");
  if (!can_write()) return fail(Errc::kWouldBlock, "the window is full");
  ByteBuffer bytes(std::min(length, kWindowBytes - link_->pipes[side_].unread_bytes));
  ASSIGN_OR_RETURN(size_t got, file.read_at(bytes, position));
  bytes.resize(got);
  const ByteView whole = bytes;
  return got == 0 ? Result<size_t>(0) : write({&whole, 1}, false);
}

std::string Connection::peer() const {
  return "10.0.0.1:" + std::to_string(link_->ports[1 - side_]);
}

}  // namespace millrace::sim
