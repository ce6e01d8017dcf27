// The network between the hosts of a world: byte streams that are late, arrive in pieces, stand
// still and break.
// Not here: who speaks on them.
//
// A connection is two one-way streams with a bounded window each; what is written arrives after a
// drawn delay, in order, and is read in pieces of drawn sizes. cut() lets nothing through between
// two hosts until heal(); reset_all() breaks every connection of a host, as its death does.
// Threads: one.
// Ownership: connections share their link; the network knows the listeners.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <set>
#include <string>

#include "env/host.h"
#include "sim/world.h"

namespace millrace::sim {

class Host;
class Shard;
struct Link;

class Network {
 public:
  explicit Network(World& world) : world_(&world) {}

  // The switches: how late bytes are on average, how small the pieces they are read in may be.
  Duration mean_delay = std::chrono::microseconds(100);
  size_t largest_piece = 65536;

  void cut(const std::string& host);
  void heal();
  bool is_cut(const Link& link) const;
  void reset_all(const std::string& host);

  // For hosts.
  struct Listening {
    Host* host;
    env::AcceptFunction accept;
  };
  Result<> listen(const env::Address& address, Listening listening);
  void stop_listening(uint16_t port) { listeners_.erase(port); }
  void connect(Host& from, env::Shard& shard, uint16_t port, env::ConnectFunction done);
  World& world() { return *world_; }

 private:
  void open_link(Host& from, Shard& shard, const Listening& listening, env::ConnectFunction done);

  World* world_;
  std::map<uint16_t, Listening> listeners_;
  std::vector<std::weak_ptr<Link>> links_;
  std::set<std::string> cut_hosts_;
  uint16_t last_port_ = 50000;
};

// One end of a link.
class Connection final : public env::Connection {
 public:
  Connection(std::shared_ptr<Link> link, size_t side, Shard& shard);
  ~Connection() override;

  void set_events(env::ConnectionEvents* events) override { events_ = events; }
  void watch_read(bool on) override;
  void watch_write(bool on) override;
  Result<size_t> read(MutableByteView into) override;
  Result<size_t> write(std::span<const ByteView> pieces, bool more) override;
  Result<size_t> send_file(env::File& file, uint64_t position, size_t length) override;
  std::string peer() const override;
  std::string peer_host() const override { return "10.0.0.1"; }

  // For the shard: calls what is due. False: nothing was.
  bool deliver();
  bool has_something_to_deliver() const;
  // For the link: something changed at this end.
  void changed();

 private:
  bool can_read() const;
  bool can_write() const;

  std::shared_ptr<Link> link_;
  size_t side_;
  Shard* shard_;
  env::ConnectionEvents* events_ = nullptr;
  bool watches_read_ = false;
  bool watches_write_ = false;
};

}  // namespace millrace::sim
