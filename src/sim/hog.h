// A client that costs memory: it sends large requests in bursts, slowly, or asks for much and does
// not read the answers for a while. Between its turns it goes away; when its connection breaks it
// begins anew. What the broker may hold meanwhile is checked by sim/inspector (ST4); that every
// request is answered in the end by the scenario.
// Threads: one.
#pragma once

#include <memory>

#include "sim/client.h"

namespace millrace::sim {

class Hog final : private env::ConnectionEvents {
 public:
  static constexpr size_t kLargestRequest = 600'000;

  explicit Hog(const Site& site);
  ~Hog();
  void start();
  // The turn under way is the last one.
  void finish() { finishing_ = true; }
  bool is_done() const { return finishing_ && !busy_; }

 private:
  void begin();
  void prepare();
  void go_on();
  void send_burst();
  void readable() override;
  void writable() override {}
  void take_answers();
  void end();

  Host* host_;
  env::Shard* shard_;
  Stream dice_;
  env::Address broker_;
  std::unique_ptr<env::Connection> stream_;
  ByteBuffer outgoing_, incoming_;
  size_t unanswered_ = 0;
  bool reads_ = true;
  bool busy_ = false;
  bool finishing_ = false;
  uint64_t turn_ = 0;  // what belongs to an earlier one is dropped
  std::shared_ptr<int> alive_ = std::make_shared<int>(0);
};

}  // namespace millrace::sim
