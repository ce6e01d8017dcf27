// In which version a metadata record is written at a finalised metadata.version, so that every node
// that the level admits can read it.
// Not here: what the records mean (metadata/image).
#pragma once

#include "wire/metadata_record.h"

namespace millrace::metadata {

// The newest level that this release finalises: 4.3-IV0.
inline constexpr int16_t kLatestMetadataVersion = 30;
inline constexpr int16_t kOldestMetadataVersion = 7;  // 3.3-IV3

// The record in the log's form. What the level cannot say is left out.
ByteBuffer encode_at(wire::MetadataRecord record, int16_t metadata_version);

// The version that encode_at() writes.
int16_t record_version(const wire::MetadataRecord& record, int16_t metadata_version);

}  // namespace millrace::metadata
