// A connection for unit tests: the test puts bytes in, reads what came out, and says how much the
// peer takes.
#pragma once

#include <algorithm>
#include <string>

#include "env/net.h"

namespace millrace::env::testing {

// What the test sees of the connection; outlives it.
struct StreamScript {
  ByteBuffer incoming;       // what the peer has sent and nobody has read
  ByteBuffer outgoing;       // what was sent to the peer
  size_t window = SIZE_MAX;  // how many bytes the peer still takes
  size_t most_per_read = SIZE_MAX;
  bool peer_finished = false;
  bool watches_read = false;
  bool watches_write = false;
  bool closed = false;
};

class ScriptedStream final : public Connection {
 public:
  explicit ScriptedStream(StreamScript& script) : script_(&script) {}
  ~ScriptedStream() override { script_->closed = true; }

  void set_events(ConnectionEvents*) override {}
  void watch_read(bool on) override { script_->watches_read = on; }
  void watch_write(bool on) override { script_->watches_write = on; }

  Result<size_t> read(MutableByteView into) override {
    auto& bytes = script_->incoming;
    if (bytes.empty() && script_->peer_finished) return 0;
    if (bytes.empty()) return fail(Errc::kWouldBlock, "nothing there");
    const size_t count = std::min({bytes.size(), into.size(), script_->most_per_read});
    std::copy_n(bytes.begin(), count, into.begin());
    bytes.erase(bytes.begin(), bytes.begin() + static_cast<ptrdiff_t>(count));
    return count;
  }

  Result<size_t> write(std::span<const ByteView> pieces, bool) override {
    size_t taken = 0;
    for (ByteView piece : pieces) taken += take(piece);
    if (taken == 0) return fail(Errc::kWouldBlock, "the peer takes nothing");
    return taken;
  }

  Result<size_t> send_file(File& file, uint64_t position, size_t length) override {
    ByteBuffer bytes(std::min(length, script_->window));
    if (bytes.empty()) return fail(Errc::kWouldBlock, "the peer takes nothing");
    ASSIGN_OR_RETURN(size_t got, file.read_at(bytes, position));
    return take(ByteView(bytes).subspan(0, got));
  }

  std::string peer() const override { return "127.0.0.1:50000"; }
  std::string peer_host() const override { return "127.0.0.1"; }

 private:
  size_t take(ByteView piece) {
    const size_t count = std::min(piece.size(), script_->window);
    script_->outgoing.insert(script_->outgoing.end(), piece.begin(),
                             piece.begin() + static_cast<ptrdiff_t>(count));
    script_->window -= count;
    return count;
  }

  StreamScript* script_;
};

}  // namespace millrace::env::testing
