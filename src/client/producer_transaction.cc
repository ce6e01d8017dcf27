// Transactions of a producer: what the caller wants becomes events, questions become calls.
#include <utility>

#include "base/assert.h"
#include "client/producer.h"

namespace millrace::client {

using core::Transaction;

void Producer::init_transactions(OnOutcome done) { want(Transaction::Init{}, std::move(done)); }

Result<> Producer::begin_transaction() {
  const Transaction* transaction = core_.transaction();
  if (transaction == nullptr) return fail(Errc::kInvalid, "a producer without transactional id");
  if (!transaction->is_ready())
    return fail(Errc::kInvalid,
                transaction->failure()
                    ? transaction->failure()->message
                    : fmt::format("no transaction can begin now: {}", transaction->describe()));
  run(Transaction::Event(Transaction::Begin{}));
  return {};
}

void Producer::send_offsets(core::TransactionalOffsets offsets, OnOutcome done) {
  want(Transaction::SendOffsets{std::move(offsets)}, std::move(done));
}

void Producer::commit_transaction(OnOutcome done) {
  want(Transaction::End{.commit = true}, std::move(done));
}

void Producer::abort_transaction(OnOutcome done) {
  want(Transaction::End{.commit = false}, std::move(done));
}

void Producer::want(Transaction::Event event, OnOutcome done) {
  ASSERT(!on_outcome_, "one wish at a time: {}", core_.transaction()->describe());
  on_outcome_ = std::move(done);
  run(std::move(event));
}

template <class T>
Done<T> Producer::hears() {
  return while_alive<T>([this](Result<T> answer) {
    if (answer)
      run(Transaction::Event(Transaction::Answered{Transaction::Answer(std::move(*answer))}));
    else
      run(Transaction::Event(Transaction::Answered{std::unexpected(std::move(answer).error())}));
  });
}

template <class Request>
void Producer::ask(NodeId to, Request request) {
  core::Call call = core::call_of(std::move(request));
  call.versions = core::versions_for(core_.transaction()->protocol(), call.api);
  client_->send(core::Destination::to(to), std::move(call),
                Client::decoding<Request>(hears<core::ResponseOf<Request>>()));
}

void Producer::ask(Transaction::Send send) {
  std::visit(
      [&]<class Question>(Question& question) {
        if constexpr (std::is_same_v<Question, Transaction::AskFeatures>)
          client_->api_versions(core::Destination::to(send.to), hears<wire::ApiVersionsResponse>());
        else if constexpr (!std::is_same_v<Question, Transaction::FindCoordinator>)
          ask(send.to, std::move(question));
        else if (question.of_group)
          client_->find_coordinator(question.key, hears<core::FoundCoordinator>());
        else
          client_->find_transaction_coordinator(question.key, hears<core::FoundCoordinator>());
      },
      send.question);
}

}  // namespace millrace::client
