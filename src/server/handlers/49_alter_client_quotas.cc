// AlterClientQuotas (KIP-546): decided by the controller, answered when the records are durable and
// published. Addresses may be named by literals and as localhost: no other name is looked up.
#include "server/controller_call.h"
#include "server/handlers/handlers.h"
#include "server/ip_address.h"

namespace millrace::server {

void handle_alter_client_quotas(Call call) {
  auto request = call.decode<wire::AlterClientQuotasRequest>();
  if (!request) return;
  submit_to_controller(
      std::move(call), std::move(*request),
      [](controller::Controller& controller, const wire::AlterClientQuotasRequest& wanted) {
        return controller.decide_alter_client_quotas(wanted, [](const std::string& address) {
          return parse_ip_address(address).has_value();
        });
      });
}

}  // namespace millrace::server
