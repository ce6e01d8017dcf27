// What kafka-dump-log makes of a record's key and value: text, or what Kafka's own topics hold, as
// JSON in the form of Jackson.
// Not here: decoding (app/log_records.h), the records of tiered storage (app/kafka/remote_log.h).
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "app/kafka/ending.h"
#include "app/log_records.h"
#include "record/record.h"

namespace millrace::app::kafka {

struct Decoded {
  std::optional<std::string> key, value;  // nothing: it is not printed
};
// Of a record that is no control record.
using RecordDecoder = std::function<Attempt<Decoded>(const record::RecordView& record)>;

// Of a class of Apache Kafka's: strings, integers, longs. RuntimeException for others.
Attempt<RecordDecoder> decoder_of_classes(std::string_view key, std::string_view value);
RecordDecoder decoder_of_topic(RecordKind kind);
RecordDecoder decoder_of_remote_log();

// " endTxnMarker: COMMIT coordinatorEpoch: 0" and so on.
std::string describe_control(const record::RecordView& record);

}  // namespace millrace::app::kafka
