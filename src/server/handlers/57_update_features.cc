// UpdateFeatures (KIP-584, KIP-778): the controller decides; all or nothing.
#include "server/controller_call.h"
#include "server/handlers/handlers.h"

namespace millrace::server {

void handle_update_features(Call call) {
  auto request = call.decode<wire::UpdateFeaturesRequest>();
  if (!request) return;
  const int16_t version = call.version();
  submit_to_controller(std::move(call), std::move(*request),
                       [version](controller::Controller& controller, const auto& wanted) {
                         return controller.decide_update_features(wanted, version);
                       });
}

}  // namespace millrace::server
