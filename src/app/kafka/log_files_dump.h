// What kafka-dump-log prints of each kind of file, and what it finds wrong in several.
// Not here: the words (app/kafka/dump_log.cc).
// Errors: exceptions that end Apache Kafka's script.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "app/kafka/ending.h"
#include "app/kafka/record_decoders.h"

namespace millrace::app::kafka {

struct IndexWish {
  bool sanity_only = false;
  bool verify_only = false;
  int64_t most_bytes = 0;  // of a batch that an entry points to
};

// Findings are told together, at the end. By whole path; in the order of Java's hash tables.
class Findings {
 public:
  using Pair = std::pair<int64_t, int64_t>;

  void index_mismatch(const std::string& path, Pair index_and_log);
  void time_mismatch(const std::string& path, Pair index_and_log);
  void time_out_of_order(const std::string& path, Pair index_and_before);
  void offset_not_found(const std::string& path, Pair index_and_log);
  void not_consecutive(const std::string& path, Pair before_and_next);
  void tell() const;  // on standard error

 private:
  using Pairs = std::vector<Pair>;
  std::map<std::string, std::map<int64_t, int64_t, std::greater<>>> index_;
  std::map<std::string, std::map<int64_t, int64_t>> gaps_;
  std::map<std::string, Pairs> times_, orders_, offsets_;
};

// As the words name it; `name` is its last part.
struct DumpedFile {
  std::string path;
  std::string name;
  std::string beside(std::string_view suffix) const;  // whole path of SAME_NUMBER.suffix
  std::string absolute() const;
};

Attempt<> dump_offset_index(const DumpedFile& file, const IndexWish& wish, Findings& findings);
Attempt<> dump_time_index(const DumpedFile& file, const IndexWish& wish, Findings& findings);
Attempt<> dump_transaction_index(const DumpedFile& file);
Attempt<> dump_producer_snapshot(const DumpedFile& file);

}  // namespace millrace::app::kafka
