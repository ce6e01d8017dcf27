// An administrator of a simulation: creates topics, deletes them, sets their configs, deletes
// records, and looks whether the cluster remembers.
//
//   MD3  what was answered OK is so, what was refused is not
//   MD4  a topic id is never used again
// Threads: one.
#pragma once

#include <map>
#include <set>

#include "sim/client.h"
#include "sim/oracle.h"
#include "wire/metadata.h"

namespace millrace::sim {

class Admin {
 public:
  Admin(const Site& site, Oracle& oracle, std::string data_topic);

  struct DataTopic {
    int32_t partitions = 1;
    int16_t replicas = 1;
    std::map<std::string, std::string> configs;
  };
  // `created` when the topic is there. Other topics have as many replicas, or fewer.
  void create_data_topic(const DataTopic& topic, std::function<void()> created);
  // Brokers may be behind the controller: MD3 is not looked at.
  void expect_lag(bool lag) { answers_lag_ = lag; }
  void start() { act(); }
  void finish() { finishing_ = true; }
  // Compares what Metadata says with what was answered; `done` afterwards.
  void check(std::function<void()> done);

 private:
  // What is known of a topic that this made.
  enum class State { kMaybe, kExists, kMaybeDeleted, kDeleted };
  struct Topic {
    State state = State::kMaybe;
    int32_t partitions = 0;
    Uuid id;
    std::set<std::string> possible_retention;  // what retention.ms may be
  };

  void act();
  void later();
  void create();
  void remove();
  void configure();
  void delete_records();
  void compare(const wire::MetadataResponse& response, const std::map<std::string, Topic>& then);
  void compare_topic(const std::string& name, const Topic& then, const Topic* shown);
  void look_at_configs(const std::string& name);
  std::string any_topic(State state);

  Host* host_;
  Oracle* oracle_;
  Client client_;
  Stream dice_;
  std::string data_topic_;
  int32_t data_partitions_ = 0;
  int16_t data_replicas_ = 1;
  bool answers_lag_ = false;
  std::map<std::string, Topic> topics_;
  std::map<Uuid, std::string> ids_;  // every id ever shown
  int last_name_ = 0;
  bool finishing_ = false;
};

}  // namespace millrace::sim
