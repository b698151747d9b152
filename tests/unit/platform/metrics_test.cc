#include "common/metrics/metrics.h"

#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/metrics/prometheus_metrics.h"
#include "gmock/gmock.h"
#include "tests/testing/status_matchers.h"

namespace demorl {
namespace {

using ::demorl::testing::StatusIs;
using ::testing::HasSubstr;

// What a Prometheus server would read.
std::string Scrape(int port) {
  const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  std::string answer;
  if (::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0) {
    const std::string request = "GET /metrics HTTP/1.0\r\nHost: localhost\r\n\r\n";
    EXPECT_EQ(::write(fd, request.data(), request.size()), request.size());
    char buffer[4096];
    for (ssize_t n = ::read(fd, buffer, sizeof(buffer)); n > 0; n = ::read(fd, buffer, sizeof(buffer))) {
      answer.append(buffer, n);
    }
  }
  ::close(fd);
  return answer;
}

void ExpectOneInstrumentPerNameAndLabels(Metrics& metrics) {
  Counter& counter = metrics.GetCounter("demorl_test_rows_total", "Rows", {{"table", "env"}});
  counter.Increment();
  metrics.GetCounter("demorl_test_rows_total", "Rows", {{"table", "env"}}).Increment(2);
  metrics.GetCounter("demorl_test_rows_total", "Rows", {{"table", "mpc"}}).Increment(10);
  EXPECT_EQ(counter.Value(), 3);
  Gauge& gauge = metrics.GetGauge("demorl_test_age_seconds", "Age");
  gauge.Set(2.5);
  EXPECT_EQ(metrics.GetGauge("demorl_test_age_seconds", "Age").Value(), 2.5);
  Histogram& histogram = metrics.GetHistogram("demorl_test_wait_seconds", "Wait", {0.1, 1});
  histogram.Observe(0.5);
  EXPECT_EQ(&histogram, &metrics.GetHistogram("demorl_test_wait_seconds", "Wait", {0.1, 1}));
}

TEST(LocalMetricsTest, GivesOneInstrumentPerNameAndLabels) {
  ExpectOneInstrumentPerNameAndLabels(*MakeLocalMetrics());
}

TEST(PrometheusMetricsTest, ServesWhatWasCounted) {
  ASSERT_OK_AND_ASSIGN(const auto metrics, PrometheusMetrics::Create("127.0.0.1:0"));
  ExpectOneInstrumentPerNameAndLabels(*metrics);
  const std::string answer = Scrape(metrics->port());
  EXPECT_THAT(answer, HasSubstr("demorl_test_rows_total{table=\"env\"} 3"));
  EXPECT_THAT(answer, HasSubstr("demorl_test_rows_total{table=\"mpc\"} 10"));
  EXPECT_THAT(answer, HasSubstr("demorl_test_age_seconds 2.5"));
  EXPECT_THAT(answer, HasSubstr("demorl_test_wait_seconds_bucket{le=\"1\"} 1"));
}

TEST(PrometheusMetricsTest, AnAddressInUseIsNamed) {
  ASSERT_OK_AND_ASSIGN(const auto metrics, PrometheusMetrics::Create("127.0.0.1:0"));
  const std::string address = absl::StrCat("127.0.0.1:", metrics->port());
  EXPECT_THAT(PrometheusMetrics::Create(address),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr(address)));
}

TEST(PrometheusMetricsTest, AnAddressWithoutAPortIsRefused) {
  EXPECT_THAT(PrometheusMetrics::Create("localhost"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("\"localhost\"")));
}

}  // namespace
}  // namespace demorl
