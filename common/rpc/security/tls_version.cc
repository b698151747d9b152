#include "common/rpc/security/tls_version.h"

#include <openssl/conf.h>
#include <openssl/ssl.h>

#include <memory>
#include <mutex>

#include "common/base/check.h"
#include "common/rpc/security/openssl_handles.h"

namespace demorl {
namespace {

// gRPC 1.51 sets 1.2 as its lowest version and offers no way to say otherwise. OpenSSL's own configuration
// forbids versions one by one besides, for every context that is made, and gRPC leaves that as it is.
constexpr absl::string_view kConfiguration = R"(
openssl_conf = all
[all]
ssl_conf = ssl
[ssl]
system_default = tls
[tls]
Protocol = -SSLv3, -TLSv1, -TLSv1.1, -TLSv1.2
)";

}  // namespace

void RequireTls13() {
  static std::once_flag once;
  std::call_once(once, [] {
    OPENSSL_init_ssl(0, nullptr);  // reads the machine's configuration, which ours then takes the place of
    const std::unique_ptr<CONF, openssl::Deleter<NCONF_free>> configuration(NCONF_new(nullptr));
    const openssl::Bio text = openssl::ReaderOf(kConfiguration);
    DEMORL_CHECK_MSG(NCONF_load_bio(configuration.get(), text.get(), nullptr) == 1 &&
                         CONF_modules_load(configuration.get(), nullptr, 0) == 1,
                     "OpenSSL does not take our configuration");
    const std::unique_ptr<SSL_CTX, openssl::Deleter<SSL_CTX_free>> context(SSL_CTX_new(TLS_method()));
    DEMORL_CHECK_MSG(context != nullptr && (SSL_CTX_get_options(context.get()) & SSL_OP_NO_TLSv1_2) != 0,
                     "OpenSSL still allows TLS 1.2");
  });
}

}  // namespace demorl
