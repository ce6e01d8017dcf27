// The network between the hosts of a world: byte streams that are late, arrive in pieces, stand
// still and break.
// Not here: who speaks on them.
//
// A connection is two one-way streams with a bounded window each; what is written arrives after a
// drawn delay, in order, and is read in pieces of drawn sizes. Each has a listener's host and port
// for its address; a name may have one host after the other, a life each.
//
// A cut is of one direction between two hosts: nothing gets through, not even that an end closed or
// broke, until it heals; whoever connects is refused or waits, as drawn, for kConnectTime at most.
// A process that dies has its peers told by its machine (Death::kProcess); a machine that goes dark
// tells nobody and answers nobody; once the name has a host again, that knows nothing of them.
// Threads: one.
// Ownership: connections share their link; the network knows the listeners.
#pragma once

#include <deque>
#include <functional>
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

  // Directions: from one host to another. A host alone: all of its directions.
  struct Way {
    std::string from, to;
    friend auto operator<=>(const Way&, const Way&) = default;
  };
  void cut(const Way& way) { cut_.insert(way); }
  void heal(const Way& way) { cut_.erase(way); }
  void isolate(const std::string& host) { cut_hosts_.insert(host); }
  void rejoin(const std::string& host) { cut_hosts_.erase(host); }
  void heal();
  bool is_cut(const Way& way) const;
  // What goes this way is later by this, on average; 0: no longer.
  void slow_down(const Way& way, Duration mean) { late_[way] = mean; }

  // Breaks the connections of a host, or those between two, at both ends.
  void reset_all(const std::string& host);
  void reset_between(const Way& way);
  enum class Death { kProcess, kMachine };
  void died(const std::string& host, Death death);

  // Is told what those who connect send: for faults that repeat it (sim/replays).
  struct Piece {
    uint64_t connection;  // its number
    const std::string& from;
    env::Address to;
    ByteView bytes;  // none: the connection is closed
  };
  std::function<void(const Piece&)> tap;

  // For hosts.
  struct Listening {
    Host* host;
    env::AcceptFunction accept;
  };
  Result<> listen(const env::Address& address, Listening listening);
  void stop_listening(const env::Address& address) { listeners_.erase(key_of(address)); }
  void connect(Host& from, env::Shard& shard, const env::Address& to, env::ConnectFunction done);
  // A host of this name lives.
  void appeared(const std::string& host);
  bool is_dark(const std::string& host) const { return dark_.contains(host); }
  Duration draw_delay(const Way& way);
  // The host's literal address: by the order in which names were first heard of.
  std::string literal_of(const std::string& host);
  World& world() { return *world_; }

 private:
  using Place = std::pair<std::string, uint16_t>;  // host and port
  static Place key_of(const env::Address& address) { return {address.host, address.port}; }
  struct Attempt {
    Host* from;
    env::Shard* shard;
    Place to;
    env::ConnectFunction done;
    Instant until;
  };
  void try_to_connect(std::shared_ptr<Attempt> attempt);
  void open_link(Attempt& attempt, const Listening& listening);
  std::vector<std::shared_ptr<Link>> links_of(const std::string& host);

  World* world_;
  std::map<Place, Listening> listeners_;
  std::vector<std::weak_ptr<Link>> links_;
  std::set<std::string> cut_hosts_;
  std::set<Way> cut_;
  std::map<Way, Duration> late_;
  std::set<std::string> dark_;
  std::vector<std::string> names_;
  uint16_t last_port_ = 50000;
  uint64_t last_link_ = 0;
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
  std::string peer_host() const override;

  // For the shard: calls what is due. False: nothing was.
  bool deliver();
  bool has_something_to_deliver() const;
  // The shard is gone, and whoever holds this has not noticed.
  void abandon();
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
