// The machine's rules one by one. Whole quorums under chaos: quorum_test.cc.
#include "raft/machine.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "raft/control_records.h"

namespace millrace::raft {
namespace {

const ReplicaKey kSelf{NodeId(1), Uuid::of_words({7, 1})};
const ReplicaKey kOther{NodeId(2), Uuid::of_words({7, 2})};
const ReplicaKey kThird{NodeId(3), Uuid::of_words({7, 3})};

VoterSet voters_of(std::initializer_list<ReplicaKey> keys) {
  VoterSet set;
  for (const auto& key : keys)
    set.voters[key.id] = {.directory_id = key.directory_id, .endpoints = {{"C", "host", 9093}}};
  return set;
}

// One machine, whose log is made durable at once unless the test says otherwise.
class MachineTest : public testing::Test {
 protected:
  void start(const VoterSet& voters, ElectionState election = {}, int16_t kraft_version = 1) {
    Recovered recovered{.election = std::move(election)};
    recovered.log.note_snapshot({});
    recovered.log.note_voters(Offset(-1), voters);
    recovered.log.note_kraft_version(Offset(-1), kraft_version);
    machine_.emplace(
        Options{.self = kSelf, .endpoints = {{"C", "host", 9093}}}, std::move(recovered),
        [] { return 0; }, now_);
    take();
  }
  void take() {
    for (Output output = machine_->take_output();; output = machine_->take_output()) {
      if (output.election) election_ = output.election;
      if (output.committed) committed_ = *output.committed;
      if (output.truncate_to) truncated_ = *output.truncate_to;
      for (auto& envelope : output.send) sent_.push_back(std::move(envelope));
      machine_->check_invariants();
      if (!output.changes_log()) return;
      machine_->on_persisted(output.sequence, now_);
    }
  }
  template <class Response>
  Response ask(Message request, NodeId from = kOther.id) {
    sent_.clear();
    machine_->on_message({.peer = from, .correlation = 99, .message = std::move(request)}, now_);
    take();
    for (auto& envelope : sent_)
      if (envelope.correlation == 99 && std::holds_alternative<Response>(envelope.message))
        return std::get<Response>(envelope.message);
    ADD_FAILURE() << "no answer";
    return {};
  }
  void wait(Duration time) {
    now_.time = now_.time + time;
    machine_->on_tick(now_);
    take();
  }
  VoteRequest vote(LeaderEpoch epoch, bool pre_vote = false) const {
    return {.candidate = kOther,
            .epoch = epoch,
            .voter = kSelf,
            .log_end = {LeaderEpoch(0), Offset(0)},
            .pre_vote = pre_vote};
  }
  BeginQuorumEpochRequest begin(LeaderEpoch epoch) const {
    return {.leader = kOther.id, .epoch = epoch, .voter = kSelf, .endpoints = {{"C", "h", 1}}};
  }
  // The answer to the last request of that kind that the machine sent to the node.
  template <class Request>
  void reply(NodeId from, Message answer) {
    for (auto envelope = sent_.rbegin(); envelope != sent_.rend(); ++envelope)
      if (envelope->peer == from && std::holds_alternative<Request>(envelope->message)) {
        machine_->on_message(
            {.peer = from, .correlation = envelope->correlation, .message = std::move(answer)},
            now_);
        return take();
      }
    ADD_FAILURE() << "nothing of that kind was sent to " << from.value();
  }
  Standing standing(NodeId leader) const {
    return {.leader = leader, .epoch = machine_->epoch(), .leader_endpoints = {{"C", "h", 1}}};
  }
  void lead() {
    wait(seconds(2));
    reply<VoteRequest>(kOther.id, VoteResponse{standing(kNoNode), true});
    reply<VoteRequest>(kOther.id, VoteResponse{standing(kNoNode), true});
    ASSERT_TRUE(machine_->is_leader()) << machine_->describe();
  }
  ByteBuffer batch() const {
    record::BatchBuilder builder({});
    builder.append({.timestamp = TimestampMs(1), .value = as_bytes("x")});
    return std::move(builder).build();
  }
  FetchRequest fetch(const ReplicaKey& replica, Offset from) const {
    return {.replica = replica,
            .current_epoch = machine_->epoch(),
            .from = from,
            .last_fetched_epoch = from == Offset(0) ? LeaderEpoch(0) : machine_->epoch(),
            .max_bytes = 1000,
            .high_watermark = Offset(INT64_MAX)};
  }

  std::optional<Machine> machine_;
  Now now_{Instant{seconds(10)}, TimestampMs(1)};
  std::optional<ElectionState> election_;
  Offset committed_{0};
  Offset truncated_{-1};
  std::vector<Envelope> sent_;
};

TEST_F(MachineTest, the_only_voter_leads_at_once_and_waits_for_nobody) {
  start(voters_of({kSelf}));
  EXPECT_TRUE(machine_->is_leader());
  EXPECT_EQ(*election_, (ElectionState{.epoch = LeaderEpoch(1), .leader = kSelf.id}));
  EXPECT_EQ(committed_, Offset(3));  // leader change, kraft version, voters
  EXPECT_EQ(machine_->next_deadline(), Instant::never());
  ASSERT_TRUE(machine_->append(batch(), now_).has_value());
  take();
  EXPECT_EQ(committed_, Offset(4));
}

TEST_F(MachineTest, the_only_voter_never_leads_an_epoch_twice) {
  start(voters_of({kSelf}), {.epoch = LeaderEpoch(5), .leader = kSelf.id});
  EXPECT_EQ(machine_->epoch(), LeaderEpoch(6));
}

TEST_F(MachineTest, one_of_the_same_id_and_another_directory_is_no_voter) {
  start(voters_of({{kSelf.id, Uuid::of_words({8, 8})}}));
  EXPECT_FALSE(machine_->is_voter());
  wait(seconds(5));
  EXPECT_EQ(machine_->role(), Role::kUnattached);
}

TEST_F(MachineTest, a_vote_is_given_once_an_epoch_and_written_before_it_is_answered) {
  start(voters_of({kSelf, kOther, kThird}));
  EXPECT_TRUE(ask<VoteResponse>(vote(LeaderEpoch(4))).granted);
  EXPECT_EQ(election_->voted, kOther);
  auto rival = vote(LeaderEpoch(4));
  rival.candidate = kThird;
  EXPECT_FALSE(ask<VoteResponse>(rival).granted);
  EXPECT_TRUE(ask<VoteResponse>(vote(LeaderEpoch(4))).granted);  // asked again
}

TEST_F(MachineTest, a_vote_that_was_written_without_its_directory_is_given_again_to_the_same) {
  start(voters_of({kSelf, kOther, kThird}),
        {.epoch = LeaderEpoch(5), .voted = ReplicaKey{kOther.id, Uuid::zero()}});
  EXPECT_TRUE(ask<VoteResponse>(vote(LeaderEpoch(5))).granted);
  VoteRequest third = vote(LeaderEpoch(5));
  third.candidate = kThird;
  EXPECT_FALSE(ask<VoteResponse>(third, kThird.id).granted);
}

TEST_F(MachineTest, a_vote_for_a_shorter_log_is_refused) {
  start(voters_of({kSelf}));  // leads, and so has records
  const LeaderEpoch next = machine_->epoch() + 1;
  EXPECT_FALSE(ask<VoteResponse>(vote(next)).granted);
  EXPECT_EQ(machine_->epoch(), next);
}

TEST_F(MachineTest, a_vote_meant_for_another_replica_or_malformed_is_an_error) {
  start(voters_of({kSelf, kOther}));
  auto wrong = vote(LeaderEpoch(1));
  wrong.voter = kThird;
  EXPECT_EQ(ask<VoteResponse>(wrong).standing.error, ErrorCode::kInvalidVoterKey);
  auto old = vote(LeaderEpoch(0));
  old.log_end.epoch = LeaderEpoch(3);
  EXPECT_EQ(ask<VoteResponse>(old).standing.error, ErrorCode::kInvalidRequest);
  EXPECT_EQ(ask<VoteResponse>(vote(LeaderEpoch(0), true)).standing.error,
            ErrorCode::kFencedLeaderEpoch);
}

// KIP-996: a replica that hears of a leader does not help another to depose it.
TEST_F(MachineTest, a_pre_vote_changes_nothing_and_is_refused_while_a_leader_is_heard_of) {
  start(voters_of({kSelf, kOther, kThird}));
  EXPECT_TRUE(ask<VoteResponse>(vote(LeaderEpoch(0), true)).granted);
  EXPECT_FALSE(election_.has_value());
  ask<BeginQuorumEpochResponse>(begin(LeaderEpoch(2)));
  EXPECT_TRUE(ask<VoteResponse>(vote(LeaderEpoch(2), true)).granted);  // not yet fetched
  wait(milliseconds(0));
  ask<BeginQuorumEpochResponse>(begin(LeaderEpoch(3)));
  reply<FetchRequest>(kOther.id, FetchResponse{.standing = standing(kOther.id)});
  EXPECT_FALSE(ask<VoteResponse>(vote(LeaderEpoch(3), true)).granted);
}

TEST_F(MachineTest, an_election_goes_by_pre_votes_before_the_epoch_moves) {
  start(voters_of({kSelf, kOther, kThird}));
  wait(seconds(2));
  EXPECT_EQ(machine_->role(), Role::kProspective);
  EXPECT_EQ(machine_->epoch(), LeaderEpoch(0));
  reply<VoteRequest>(kOther.id, VoteResponse{standing(kNoNode), true});
  EXPECT_EQ(machine_->role(), Role::kCandidate);
  EXPECT_EQ(machine_->epoch(), LeaderEpoch(1));
  EXPECT_EQ(election_->voted, kSelf);
}

TEST_F(MachineTest, a_leader_commits_what_a_majority_has_and_only_behind_its_epochs_first_record) {
  start(voters_of({kSelf, kOther, kThird}));
  lead();
  EXPECT_EQ(committed_, Offset(0));
  ask<FetchResponse>(fetch(kOther, Offset(0)));
  EXPECT_EQ(committed_, Offset(0));
  const auto answer = ask<FetchResponse>(fetch(kOther, Offset(3)));
  EXPECT_EQ(committed_, Offset(3));
  EXPECT_EQ(answer.high_watermark, Offset(3));
}

// RA10
TEST_F(MachineTest, observers_and_strangers_count_for_nothing) {
  start(voters_of({kSelf, kOther, kThird}));
  lead();
  ask<FetchResponse>(fetch({NodeId(9), Uuid::of_words({7, 9})}, Offset(3)));
  ask<FetchResponse>(fetch({kOther.id, Uuid::of_words({8, 8})}, Offset(3)));
  EXPECT_EQ(committed_, Offset(0));
  EXPECT_EQ(machine_->progress().size(), 4U);  // two voters, two observers
}

TEST_F(MachineTest, a_leader_that_no_majority_fetches_from_resigns) {
  start(voters_of({kSelf, kOther, kThird}));
  lead();
  wait(milliseconds(2999));
  EXPECT_TRUE(machine_->is_leader());
  wait(milliseconds(2));
  EXPECT_EQ(machine_->role(), Role::kResigned);
}

TEST_F(MachineTest, a_fetch_that_diverges_is_told_where_and_one_before_the_log_gets_a_snapshot) {
  start(voters_of({kSelf}));
  auto request = fetch(kOther, Offset(7));
  EXPECT_EQ(ask<FetchResponse>(request).diverging, (LogPosition{LeaderEpoch(1), Offset(3)}));
  machine_->on_snapshot_written({LeaderEpoch(1), Offset(3)});
  machine_->on_snapshot_removed({});
  machine_->on_log_start(Offset(3));
  EXPECT_EQ(ask<FetchResponse>(fetch(kOther, Offset(0))).snapshot,
            (LogPosition{LeaderEpoch(1), Offset(3)}));
  FetchSnapshotRequest chunk{.replica = kOther,
                             .current_epoch = machine_->epoch(),
                             .snapshot = {LeaderEpoch(1), Offset(3)},
                             .max_bytes = 10};
  EXPECT_EQ(ask<FetchSnapshotResponse>(chunk).max_bytes, 10U);
  chunk.snapshot.offset = Offset(2);
  EXPECT_EQ(ask<FetchSnapshotResponse>(chunk).standing.error, ErrorCode::kSnapshotNotFound);
}

TEST_F(MachineTest, a_fetch_of_another_epoch_is_refused_with_the_leader) {
  start(voters_of({kSelf}));
  auto request = fetch(kOther, Offset(0));
  request.current_epoch = LeaderEpoch(0);
  auto answer = ask<FetchResponse>(request);
  EXPECT_EQ(answer.standing.error, ErrorCode::kFencedLeaderEpoch);
  EXPECT_EQ(answer.standing.leader, kSelf.id);
  request.current_epoch = LeaderEpoch(9);
  EXPECT_EQ(ask<FetchResponse>(request).standing.error, ErrorCode::kUnknownLeaderEpoch);
}

TEST_F(MachineTest, a_follower_told_to_cut_below_what_is_committed_stops) {
  start(voters_of({kSelf}));  // commits three records as the only voter
  machine_->on_message({.peer = kOther.id, .correlation = 1, .message = begin(LeaderEpoch(9))},
                       now_);
  take();
  FetchResponse lie{.standing = standing(kOther.id)};
  lie.diverging = LogPosition{LeaderEpoch(0), Offset(0)};
  reply<FetchRequest>(kOther.id, lie);
  ASSERT_TRUE(machine_->fault().has_value());
  EXPECT_EQ(truncated_, Offset(-1));
  EXPECT_EQ(machine_->next_deadline(), Instant::never());
}

TEST_F(MachineTest, records_that_do_not_follow_or_are_damaged_are_not_taken) {
  start(voters_of({kSelf, kOther, kThird}));
  ask<BeginQuorumEpochResponse>(begin(LeaderEpoch(2)));
  FetchResponse gap{.standing = standing(kOther.id), .high_watermark = Offset(6)};
  gap.records = batch();
  record::patch_leader_epoch(gap.records, LeaderEpoch(2));
  record::patch_base_offset(gap.records, Offset(5));
  reply<FetchRequest>(kOther.id, gap);
  EXPECT_EQ(machine_->log().end(), Offset(0));
  wait(milliseconds(20));
  FetchResponse damaged = gap;
  record::patch_base_offset(damaged.records, Offset(0));
  damaged.records.back() ^= 1;
  reply<FetchRequest>(kOther.id, damaged);
  EXPECT_EQ(machine_->log().end(), Offset(0));
}

TEST_F(MachineTest, voters_change_one_at_a_time_and_after_a_commit_of_the_epoch) {
  start(voters_of({kSelf, kOther}));
  lead();
  const auto grown = voters_of({kSelf, kOther, kThird});
  EXPECT_EQ(machine_->change_voters(grown, now_).error().code, Errc::kBusy);
  ask<FetchResponse>(fetch(kOther, Offset(3)));
  EXPECT_EQ(machine_->change_voters(voters_of({kThird}), now_).error().code, Errc::kInvalid);
  ASSERT_TRUE(machine_->change_voters(grown, now_).has_value());
  take();
  EXPECT_EQ(machine_->log().voters(), grown);
  EXPECT_EQ(machine_->change_voters(voters_of({kSelf, kOther}), now_).error().code, Errc::kBusy);
}

// As controller.quorum.voters gives them: without directories.
VoterSet static_voters() {
  VoterSet set = voters_of({kSelf, kOther, kThird});
  for (auto& [id, voter] : set.voters) voter.directory_id = Uuid::zero();
  return set;
}

TEST_F(MachineTest, a_static_quorum_is_upgraded_when_all_voters_have_told_of_themselves) {
  start(static_voters(), {}, 0);
  lead();
  EXPECT_EQ(machine_->log().end(), Offset(1));  // a leader change alone
  ask<FetchResponse>(fetch(kOther, Offset(1)));
  EXPECT_EQ(machine_->note_voter(NodeId(7), {}).error().code, Errc::kNotFound);
  ASSERT_TRUE(machine_->note_voter(kOther.id, voters_of({kOther}).voters.at(kOther.id)));
  EXPECT_NE(machine_->upgrade_problem(1)->find("node 3 has not said"), std::string::npos);
  EXPECT_EQ(machine_->upgrade_kraft_version(now_).error().code, Errc::kInvalid);
  Voter old = voters_of({kThird}).voters.at(kThird.id);
  old.max_kraft_version = 0;
  ASSERT_TRUE(machine_->note_voter(kThird.id, old));
  EXPECT_NE(machine_->upgrade_problem(1)->find("node 3 does not"), std::string::npos);
  ASSERT_TRUE(machine_->note_voter(kThird.id, voters_of({kThird}).voters.at(kThird.id)));
  EXPECT_EQ(machine_->upgrade_problem(1), std::nullopt);
  EXPECT_EQ(machine_->upgrade_problem(0), std::nullopt);

  ASSERT_EQ(machine_->upgrade_kraft_version(now_).value(), Offset(1));
  take();
  EXPECT_EQ(machine_->log().kraft_version(), 1);
  EXPECT_EQ(machine_->log().voters(), voters_of({kSelf, kOther, kThird}));
  EXPECT_EQ(machine_->log().end(), Offset(3));
  EXPECT_EQ(committed_, Offset(1));
  ask<FetchResponse>(fetch(kOther, Offset(3)));
  EXPECT_EQ(committed_, Offset(3));
  EXPECT_NE(machine_->upgrade_problem(0), std::nullopt);
  EXPECT_FALSE(machine_->upgrade_kraft_version(now_));
  EXPECT_EQ(machine_->note_voter(kOther.id, {}).error().code, Errc::kUnsupported);
}

TEST_F(MachineTest, an_upgrade_of_the_quorum_does_not_make_its_leader_think_itself_alone) {
  start(static_voters(), {}, 0);
  lead();
  for (int second = 0; second < 10; ++second) {
    ask<FetchResponse>(fetch(kOther, Offset(1)));
    wait(seconds(1));
  }
  for (const auto& key : {kOther, kThird})
    ASSERT_TRUE(machine_->note_voter(key.id, voters_of({key}).voters.at(key.id)));
  ASSERT_TRUE(machine_->upgrade_kraft_version(now_));
  take();
  wait(milliseconds(100));
  EXPECT_TRUE(machine_->is_leader());
  EXPECT_EQ(committed_, Offset(1));  // until somebody fetches what is behind it
}

TEST_F(MachineTest, an_upgrade_that_could_not_be_written_is_taken_back) {
  start(static_voters(), {}, 0);
  lead();
  ask<FetchResponse>(fetch(kOther, Offset(1)));
  for (const auto& key : {kOther, kThird})
    ASSERT_TRUE(machine_->note_voter(key.id, voters_of({key}).voters.at(key.id)));
  ASSERT_TRUE(machine_->upgrade_kraft_version(now_));
  machine_->take_output();
  machine_->on_append_failed();
  EXPECT_EQ(machine_->log().kraft_version(), 0);
  EXPECT_EQ(machine_->log().voters(), static_voters());
  EXPECT_TRUE(machine_->progress().contains({kOther.id, Uuid::zero()}));
  EXPECT_EQ(machine_->upgrade_problem(1), std::nullopt);
}

TEST_F(MachineTest, a_new_leader_that_listens_elsewhere_corrects_its_entry) {
  VoterSet voters = voters_of({kSelf, kOther});
  voters.voters.at(kSelf.id).endpoints[0].port = 1;
  start(voters);
  lead();
  EXPECT_EQ(machine_->log().voters(), voters_of({kSelf, kOther}));
}

TEST_F(MachineTest, a_leader_that_resigns_names_its_successors_and_the_first_stands_at_once) {
  start(voters_of({kSelf, kOther, kThird}));
  lead();
  ask<FetchResponse>(fetch(kThird, Offset(3)));
  sent_.clear();
  machine_->resign(now_);
  take();
  ASSERT_FALSE(sent_.empty());
  const auto& end = std::get<EndQuorumEpochRequest>(sent_[0].message);
  EXPECT_EQ(end.preferred, (std::vector<ReplicaKey>{kThird, kOther}));

  start(voters_of({kSelf, kOther, kThird}));
  ask<BeginQuorumEpochResponse>(begin(LeaderEpoch(2)));
  ask<EndQuorumEpochResponse>(EndQuorumEpochRequest{
      .leader = kOther.id, .epoch = LeaderEpoch(2), .preferred = {kSelf, kThird}});
  EXPECT_EQ(machine_->role(), Role::kProspective);
}

TEST_F(MachineTest, a_follower_whose_leader_is_gone_asks_for_votes_before_its_fetch_timeout) {
  start(voters_of({kSelf, kOther, kThird}));
  ask<BeginQuorumEpochResponse>(begin(LeaderEpoch(1)));
  const auto fetch = std::ranges::find_if(sent_, [](const Envelope& each) {
    return std::holds_alternative<FetchRequest>(each.message);
  });
  ASSERT_NE(fetch, sent_.end());
  const Machine::SendFailure lost{kOther.id, fetch->correlation}, gone{kOther.id, 0, true};
  machine_->on_send_failed(gone, now_);  // of no request of ours
  EXPECT_EQ(machine_->role(), Role::kFollower);
  machine_->on_send_failed({lost.peer, lost.correlation, true}, now_);
  wait(milliseconds(1));
  EXPECT_EQ(machine_->role(), Role::kProspective);
  EXPECT_EQ(machine_->epoch(), LeaderEpoch(1));
}

TEST_F(MachineTest, an_append_that_fails_is_taken_back) {
  start(voters_of({kSelf}));
  ASSERT_TRUE(machine_->append(batch(), now_).has_value());
  machine_->take_output();
  machine_->on_append_failed();
  EXPECT_EQ(machine_->log().end(), Offset(3));
  ASSERT_TRUE(machine_->append(batch(), now_).has_value());
  take();
  EXPECT_EQ(committed_, Offset(4));
}

}  // namespace
}  // namespace millrace::raft
