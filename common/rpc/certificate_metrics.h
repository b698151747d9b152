#pragma once

#include "absl/time/time.h"
#include "common/metrics/metrics.h"
#include "common/rpc/security/certificate.h"

namespace demorl {

// When the certificate by which a process says who it is begins and ends. Thread-compatible.
class CertificateMetrics {
 public:
  explicit CertificateMetrics(Metrics& metrics)
      : not_before_(metrics.GetGauge("demorl_rpc_certificate_not_before_timestamp_seconds",
                                     "When the service's certificate begins, since 1970")),
        not_after_(metrics.GetGauge("demorl_rpc_certificate_not_after_timestamp_seconds",
                                    "When the service's certificate expires, since 1970")) {}

  void Set(const Certificate& certificate) {
    not_before_.Set(static_cast<double>(absl::ToUnixSeconds(certificate.not_before)));
    not_after_.Set(static_cast<double>(absl::ToUnixSeconds(certificate.not_after)));
  }

 private:
  Gauge& not_before_;
  Gauge& not_after_;
};

}  // namespace demorl
