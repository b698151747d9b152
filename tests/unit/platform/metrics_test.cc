#include "common/metrics/metrics.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/metrics/process_figures.h"
#include "common/metrics/prometheus_metrics.h"
#include "gmock/gmock.h"
#include "tests/testing/status_matchers.h"

namespace demorl {
namespace {

using ::demorl::testing::StatusIs;
using ::testing::HasSubstr;

// As libraries have it that keep their work space per thread: a thread with a smaller stack cannot be made.
thread_local std::array<char, 512 << 10> work_space;

// Until the server closes the connection.
std::string Ask(int port, const std::string& request) {
  const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  std::string answer;
  if (::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0) {
    EXPECT_EQ(::write(fd, request.data(), request.size()), request.size());
    char buffer[4096];
    for (ssize_t n = ::read(fd, buffer, sizeof(buffer)); n > 0; n = ::read(fd, buffer, sizeof(buffer))) {
      answer.append(buffer, n);
    }
  }
  ::close(fd);
  return answer;
}

// What a Prometheus server would read.
std::string Scrape(int port) { return Ask(port, "GET /metrics HTTP/1.0\r\nHost: localhost\r\n\r\n"); }

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
  work_space.front() = 1;
  ASSERT_OK_AND_ASSIGN(const auto metrics, PrometheusMetrics::Create("127.0.0.1:0"));
  ExpectOneInstrumentPerNameAndLabels(*metrics);
  const std::string answer = Scrape(metrics->port());
  EXPECT_THAT(answer, HasSubstr("demorl_test_rows_total{table=\"env\"} 3"));
  EXPECT_THAT(answer, HasSubstr("demorl_test_rows_total{table=\"mpc\"} 10"));
  EXPECT_THAT(answer, HasSubstr("demorl_test_age_seconds 2.5"));
  EXPECT_THAT(answer, HasSubstr("demorl_test_wait_seconds_bucket{le=\"1\"} 1"));
}

TEST(PrometheusMetricsTest, ServesTheProcessesOwnFigures) {
  ASSERT_OK_AND_ASSIGN(const auto metrics, PrometheusMetrics::Create("127.0.0.1:0"));
  const std::string answer = Scrape(metrics->port());
  EXPECT_THAT(answer, HasSubstr("# TYPE process_cpu_seconds_total counter"));
  for (const char* name :
       {"process_resident_memory_bytes", "process_virtual_memory_bytes", "process_start_time_seconds",
        "process_threads", "process_open_fds", "process_max_fds"}) {
    EXPECT_THAT(answer, HasSubstr(absl::StrCat("# TYPE ", name, " gauge")));
  }
}

TEST(PrometheusMetricsTest, HoldsNoConnectionAndTakesNoBody) {
  ASSERT_OK_AND_ASSIGN(const auto metrics, PrometheusMetrics::Create("127.0.0.1:0"));
  EXPECT_THAT(Ask(metrics->port(), "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n"),
              HasSubstr("Connection: close"));
  EXPECT_THAT(
      Ask(metrics->port(), "POST /metrics HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000000\r\n\r\n"),
      HasSubstr("413 Payload Too Large"));
}

TEST(ProcessFiguresTest, FollowWhatTheProcessDoes) {
  ASSERT_OK_AND_ASSIGN(const ProcessFigures before, ReadProcessFigures());
  EXPECT_GT(before.threads, 0);
  EXPECT_GT(before.resident_memory_bytes, 1e6);
  EXPECT_GT(before.virtual_memory_bytes, before.resident_memory_bytes);
  EXPECT_LE(before.start_time_seconds, absl::ToDoubleSeconds(absl::Now() - absl::UnixEpoch()) + 1);
  EXPECT_GT(before.start_time_seconds, absl::ToDoubleSeconds(absl::Now() - absl::UnixEpoch()) - 3600);
  const int fd = ::dup(0);
  std::vector<char> memory(64 << 20, 1);
  ASSERT_OK_AND_ASSIGN(const ProcessFigures after, ReadProcessFigures());
  EXPECT_EQ(after.open_fds, before.open_fds + 1);
  int num_open = 0;
  for (int i = 0; i < 1024; ++i) {
    num_open += ::fcntl(i, F_GETFD) >= 0 ? 1 : 0;
  }
  EXPECT_EQ(after.open_fds, num_open);
  EXPECT_LE(after.open_fds, after.max_fds);
  EXPECT_GT(after.resident_memory_bytes, before.resident_memory_bytes + (32 << 20));
  EXPECT_GE(after.cpu_seconds, before.cpu_seconds);
  ::close(fd);
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
