#include "common/metrics/applied_metrics.h"

#include <cmath>
#include <vector>

#include "gmock/gmock.h"

namespace demorl {
namespace {

using ::testing::DoubleNear;
using ::testing::ElementsAre;

// Keeps what one histogram observes.
class ObservedMetrics final : public Metrics {
 public:
  class Kept final : public Histogram {
   public:
    void Observe(double value) override { values.push_back(value); }
    std::vector<double> values;
  };

  Counter& GetCounter(const std::string& name, const std::string& help, const MetricLabels& labels) override {
    return local_->GetCounter(name, help, labels);
  }
  Gauge& GetGauge(const std::string& name, const std::string& help, const MetricLabels& labels) override {
    return local_->GetGauge(name, help, labels);
  }
  Histogram& GetHistogram(const std::string&, const std::string&, const std::vector<double>&,
                          const MetricLabels&) override {
    return histogram;
  }

  Kept histogram;

 private:
  const std::unique_ptr<Metrics> local_ = MakeLocalMetrics();
};

TEST(AppliedMetricsTest, TellsWhenTheVersionInUseWasPublishedAndHowLongNewOnesTook) {
  ObservedMetrics metrics;
  AppliedMetrics applied(metrics, "demorl_actor_policy", "policy");
  Gauge& published = metrics.GetGauge("demorl_actor_policy_published_timestamp_seconds", "", {});
  EXPECT_TRUE(std::isnan(published.Value()));

  const absl::Time start = absl::Now();
  applied.Applied(start - absl::Hours(1), start);  // from before this process
  EXPECT_NEAR(published.Value(), absl::ToDoubleSeconds(start - absl::Hours(1) - absl::UnixEpoch()), 1e-3);
  const absl::Time first = start + absl::Seconds(10), second = first + absl::Seconds(10);
  applied.Applied(first, first + absl::Milliseconds(250));
  applied.Applied(second, second - absl::Seconds(3));  // a clock that is late
  applied.Applied(first, second + absl::Minutes(1));   // pinned
  EXPECT_NEAR(published.Value(), absl::ToDoubleSeconds(first - absl::UnixEpoch()), 1e-3);
  EXPECT_THAT(metrics.histogram.values, ElementsAre(DoubleNear(0.25, 1e-6), 0));
}

}  // namespace
}  // namespace demorl
