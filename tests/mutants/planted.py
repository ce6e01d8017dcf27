"""The planted bugs: where, what becomes what, and the invariant that falls."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Mutant:
    name: str
    breaks: str     # what a checker should say
    file: str       # below src/
    old: str
    new: str


MUTANTS = (
    Mutant("acknowledged_before_the_sync", "ST1, IS3", "node/partition_host.cc",
           "if (auto synced = sync(rounds); !synced) {",
           "if (auto synced = Result<>(); !synced) {"),
    Mutant("a_failed_sync_is_passed_over", "ST1, IS3", "node/partition_host.cc",
           "if (auto synced = sync(rounds); !synced) {",
           "if (auto synced = sync(rounds); false) {"),
    Mutant("the_next_start_is_not_told_of_a_failed_sync", "ST3, IS3", "node/partition_host.cc",
           "storage::LogDirectory::note_failed_sync(*disk_, directory_->path());", ""),
    Mutant("produce_does_not_wait_for_the_medium", "ST1, IS3", "server/handlers/00_produce.cc",
           "if (appended->end <= state.high_watermark()) return;", "return;"),
    Mutant("repeated_batches_are_appended_again", "ID1, ID2", "server/handlers/00_produce.cc",
           "if (const auto* duplicate = std::get_if<storage::ProducedBatch>(&verdict))",
           "if (const auto* duplicate = std::get_if<storage::ProducedBatch>(&verdict); duplicate && false)"),
    Mutant("gaps_in_sequences_are_taken", "ID1", "storage/producer_state.cc",
           "if (record::advance_sequence(last->last_sequence, 1) != header.base_sequence)", "if (false)"),
    Mutant("a_duplicate_is_answered_with_the_wrong_offset", "ID2", "server/handlers/00_produce.cc",
           "return Appended{duplicate->base_offset(), duplicate->last_offset + 1, duplicate->timestamp};",
           "return Appended{state.log().log_end(), duplicate->last_offset + 1, duplicate->timestamp};"),
    Mutant("consumers_read_beyond_the_high_watermark", "IS5", "server/handlers/01_fetch.cc",
           "const Offset below = committed_only ? state.last_stable_offset() : state.high_watermark();",
           "const Offset below = state.log().log_end();"),
    Mutant("recovery_trusts_checksums", "ST3", "storage/log.cc",
           "if (header.last_offset() >= trusted_below && !record::BatchView::parse(bytes)->verify_crc())", "if (false)"),
    Mutant("recovery_does_not_cut_the_torn_tail", "ST3, ST2", "storage/log.cc",
           "  RETURN_IF_ERROR(segment.truncate(valid));\n  return false;", "  return true;"),
    Mutant("recovery_forgets_producers", "ID3, ID2", "storage/log.cc",
           "    note_batch(header, bytes, header.max_timestamp);\n    return true;", "    return true;"),
    Mutant("small_files_are_renamed_before_they_are_synced", "ST2, ID3", "env/disk.cc",
           "RETURN_IF_ERROR(file->sync());", ""),
    Mutant("a_group_forgets_its_generation", "GR2", "group/classic_group.cc",
           "generation_ = value.generation;", "generation_ = 0;"),
    Mutant("group_replies_leave_before_their_records_are_durable", "GR4, GR2", "node/partition_groups.cc",
           "state.wait_for(state.log().log_end(), *waiter.mapped().shard,",
           "state.wait_for(Offset(0), *waiter.mapped().shard,"),
    Mutant("answers_overtake_each_other", "C1", "server/connection.cc",
           "for (auto ready = slots_.begin(); ready != first_unanswered; ++ready)\n    output_.push(std::move(ready->pieces));",
           "output_.push(std::move(slot->pieces));"),
    Mutant("recovered_segments_are_not_synced_again", "IS3, IS5", "storage/log.cc",
           "if (auto file = each->file(); file && &each >= &segments_[first]) unsynced_.push_back(*file);", ";"),
    Mutant("commits_of_old_generations_are_taken", "GR3", "group/offset_commit.cc",
           "if (request.generation_id_or_member_epoch != group.generation())\n    return ErrorCode::kIllegalGeneration;", ""),
    Mutant("offsets_of_topics_that_are_read_expire", "GR7, GR4", "group/offset_expiry.cc",
           "return unknown_ || (topics_ && topics_->contains(topic));", "return false;"),
    Mutant("offsets_expire_by_their_commit_alone", "GR7", "group/offset_expiry.cc",
           "std::max(base.since, offset.commit_timestamp)", "offset.commit_timestamp"),
    Mutant("offsets_never_expire", "GR7", "group/offset_expiry.cc",
           "return age >= step.state.config.offsets_retention.count();", "return false;"),
    Mutant("nobody_goes_on_when_all_wait_for_memory", "ST4", "server/connection.cc",
           "return input_->memory.favour(shared_from_this()) ?", "return false ?"),
    Mutant("one_that_does_not_read_is_read_from", "ST4", "server/connection.cc",
           "if (output_.bytes_waiting() > kMaxUnsentBytes) return true;", ""),
)
