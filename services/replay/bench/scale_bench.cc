// Many light actors against one replay, and many watchers of one snapshot service: real services, and clients
// with connections of their own in a few processes. The ceiling is a server that answers the same clients and
// does nothing else. Prints one JSON line per figure.

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "common/base/file_io.h"
#include "common/base/lock_checks.h"
#include "common/bench/server_process.h"
#include "common/rpc/channel_factory.h"
#include "services/replay/bench/echo_replay.h"
#include "services/replay/bench/load_clients.h"
#include "services/replay/replay_client.h"
#include "services/snapshot/snapshot_client.h"

namespace demorl {
namespace {

constexpr absl::Duration kConnectTime = absl::Seconds(15);

struct Options {
  std::string role = "all";
  int clients = 1000;
  int processes = 4;
  double rate_hz = 20;
  int rows_per_chunk = 1;
  double seconds = 60;
  // Of a learner that samples beside them as fast as this allows; 0 for none.
  double updates_per_row = 0;
  std::vector<int> watchers = {1, 64, 256, 1000};
  int publications = 20;
  int payload_bytes = 292 * 1024;
  // Of a worker.
  ClientLoad load;
};

std::string Self() { return std::filesystem::read_symlink("/proc/self/exe").string(); }

// A histogram: milliseconds to counts.
using Counts = std::map<double, int64_t>;

double Quantile(const Counts& counts, double share) {
  int64_t all = 0;
  for (const auto& [value, count] : counts) {
    all += count;
  }
  int64_t left = static_cast<int64_t>(share * static_cast<double>(all));
  for (const auto& [value, count] : counts) {
    left -= count;
    if (left <= 0) {
      return value;
    }
  }
  return 0;
}

void Print(const std::string& figure, const std::string& unit, double value, const Options& options,
           std::optional<double> ceiling = std::nullopt) {
  double load[1] = {0};
  getloadavg(load, 1);
  std::printf("{\"figure\": \"%s\", \"unit\": \"%s\", \"value\": %.4g, ", figure.c_str(), unit.c_str(),
              value);
  if (ceiling.has_value()) {
    std::printf("\"ceiling\": %.4g, ", *ceiling);
  }
  std::printf(
      "\"clients\": %d, \"rate_hz\": %g, \"rows_per_chunk\": %d, \"seconds\": %g, \"load_average\": %.1f}\n",
      options.clients, options.rate_hz, options.rows_per_chunk, options.seconds, load[0]);
  std::fflush(stdout);
}

// What one run of the clients against one server came to.
struct LoadReport {
  Counts acks_ms;
  int64_t rows = 0;
  double latest_ms = 0;
  ProcessFigures empty, connected, early, late;
};

std::string Exactly(absl::Duration time) { return absl::StrFormat("%.6f", absl::ToDoubleSeconds(time)); }

std::string ClientsCommand(const Options& options, int port, int process, absl::Duration begin,
                           absl::Duration end) {
  const int first = options.clients * process / options.processes;
  const int count = options.clients * (process + 1) / options.processes - first;
  return absl::StrCat(Self(), " --role clients --port ", port, " --first ", first, " --clients ", count,
                      " --rate ", options.rate_hz, " --rows ", options.rows_per_chunk, " --updates-per-row ",
                      options.updates_per_row, " --begin ", Exactly(begin), " --end ", Exactly(end));
}

void SleepUntil(absl::Duration time) { absl::SleepFor(time - MonotonicNow()); }

std::optional<LoadReport> RunLoad(const Options& options, const ServerProcess& server) {
  LoadReport report;
  report.empty = server.Figures();
  const absl::Duration begin = MonotonicNow() + kConnectTime;
  const absl::Duration end = begin + absl::Seconds(options.seconds);
  std::vector<std::string> commands;
  for (int process = 0; process < options.processes; ++process) {
    commands.push_back(ClientsCommand(options, server.port(), process, begin, end));
  }
  WorkerProcesses workers(commands);
  SleepUntil(begin - absl::Seconds(0.5));
  report.connected = server.Figures();
  SleepUntil(begin + (end - begin) / 4);
  report.early = server.Figures();
  SleepUntil(end - absl::Seconds(0.5));
  report.late = server.Figures();
  for (const std::vector<std::string>& words : workers.ReadAll()) {
    if (words[0] == "rows") {
      report.rows += std::atoll(words[1].c_str());
    } else if (words[0] == "latest_ms") {
      report.latest_ms = std::max(report.latest_ms, std::atof(words[1].c_str()));
    } else if (words[0] == "ack") {
      report.acks_ms[std::atof(words[1].c_str())] += std::atoll(words[2].c_str());
    }
  }
  return report.rows > 0 ? std::optional(report) : std::nullopt;
}

double KilobytesPerClient(const LoadReport& report, int clients) {
  return static_cast<double>(report.connected.resident_bytes - report.empty.resident_bytes) / 1024 / clients;
}

double CpuShare(const LoadReport& report) {
  return absl::FDivDuration(report.late.cpu - report.early.cpu, absl::Seconds(1));
}

// Rows taken in but for those appended, and what the audit finds wrong.
int64_t AuditFaults(int port, int64_t rows) {
  ReplayClient client(MakeChannel(absl::StrCat("127.0.0.1:", port)), "bench");
  const auto audit = client.Audit();
  const auto table = client.GetTable("env");
  if (!audit.ok() || !table.ok()) {
    return -1;
  }
  int64_t written = 0;
  for (const auto& writer : audit->writers()) {
    written += static_cast<int64_t>(writer.rows());
  }
  return audit->violations_size() + std::abs(static_cast<int64_t>(table->rows_inserted()) - rows) +
         std::abs(written - rows);
}

std::string Limiter(const Options& options) {
  return options.updates_per_row > 0
             ? absl::StrCat("rate_limiter { max_rows_ahead: 1000000000 updates_per_row: ",
                            options.updates_per_row, " }")
             : "";
}

// Samples batches as a learner does; how many.
int64_t Learn(const Options& options, int port, const std::atomic<bool>& stop) {
  if (options.updates_per_row <= 0) {
    return 0;
  }
  ReplayClient client(MakeChannel(absl::StrCat("127.0.0.1:", port)), "bench");
  const auto sampler = client.OpenSampler({.shares = {{"env", 256}}});
  int64_t updates = 0;
  while (!stop) {
    updates += sampler->Next(absl::Now() + absl::Seconds(1)).ok() ? 1 : 0;
  }
  return updates;
}

int RunAppends(const Options& options, const std::filesystem::path& folder) {
  std::optional<LoadReport> echo;
  {
    const ServerProcess server(Self() + " --role echo");
    echo = RunLoad(options, server);
  }
  const std::filesystem::path config = folder / "replay.textproto";
  const absl::Status written = WriteFileAtomically(
      config,
      absl::StrCat("run_id: 'bench' replay { tables { name: 'env' max_rows: 5000000 ", Limiter(options),
                   " } }\n", "services { replay { address: '127.0.0.1:0' data_dir: '",
                   (folder / "data").string(), "' } }\n"));
  const ServerProcess server(absl::StrCat(Beside("demorl-replay"), " --config ", config.string()));
  std::atomic<bool> stop = false;
  int64_t updates = 0;
  std::thread learner([&] { updates = Learn(options, server.port(), stop); });
  const std::optional<LoadReport> replay = RunLoad(options, server);
  stop = true;
  learner.join();
  if (!written.ok() || !echo.has_value() || !replay.has_value()) {
    return 1;
  }
  for (const auto& [name, share] :
       std::map<std::string, double>{{"p50", 0.5}, {"p99", 0.99}, {"p999", 0.999}}) {
    Print(absl::StrCat("insert_ack_", name), "ms", Quantile(replay->acks_ms, share), options,
          Quantile(echo->acks_ms, share));
  }
  const double measured_s = options.seconds * 0.75 - 0.5;
  Print("rows", "rows/s", static_cast<double>(replay->rows) / options.seconds, options,
        static_cast<double>(echo->rows) / options.seconds);
  if (options.updates_per_row > 0) {
    Print("updates", "updates/s", static_cast<double>(updates) / options.seconds, options);
  }
  Print("server_cpu", "cores", CpuShare(*replay) / measured_s, options, CpuShare(*echo) / measured_s);
  Print("server_memory_per_client", "KiB", KilobytesPerClient(*replay, options.clients), options,
        KilobytesPerClient(*echo, options.clients));
  Print("server_open_files_early", "files", replay->early.open_files, options);
  Print("server_open_files_late", "files", replay->late.open_files, options);
  Print("server_threads_early", "threads", replay->early.threads, options);
  Print("server_threads_late", "threads", replay->late.threads, options);
  Print("server_memory_per_row", "bytes",
        static_cast<double>(replay->late.resident_bytes - replay->early.resident_bytes) /
            (static_cast<double>(replay->rows) * measured_s / options.seconds),
        options);
  Print("clients_behind_at_most", "ms", replay->latest_ms, options, echo->latest_ms);
  Print("audit_faults", "faults", static_cast<double>(AuditFaults(server.port(), replay->rows)), options);
  return 0;
}

// Safetensors of about that size.
std::string Payload(int bytes) {
  const int floats = bytes / 4;
  const std::string header = absl::StrCat("{\"w\":{\"dtype\":\"F32\",\"shape\":[", floats,
                                          "],\"data_offsets\":[0,", 4 * floats, "]}}");
  std::string payload;
  for (uint64_t size = header.size(), i = 0; i < 8; ++i) {
    payload.push_back(static_cast<char>(size >> (8 * i)));
  }
  return payload + header + std::string(static_cast<size_t>(4 * floats), '\0');
}

// Publishes one version a second; when each was, on the common clock.
std::map<uint64_t, absl::Duration> Publish(const Options& options, int port) {
  SnapshotClient client(MakeChannel(absl::StrCat("127.0.0.1:", port)), "bench");
  snapshot::v1::SnapshotMetadata metadata =
      MakeSnapshotMetadata({.environment_id = "Bench-v0", .observation_size = 17, .action_size = 6}, "hash");
  metadata.set_kind(snapshot::v1::SNAPSHOT_KIND_POLICY);
  const std::string payload = Payload(options.payload_bytes);
  std::map<uint64_t, absl::Duration> published;
  for (int i = 0; i < options.publications; ++i) {
    const absl::Duration begin = MonotonicNow();
    const auto version = client.Publish(metadata, payload, absl::Now() + absl::Seconds(30));
    if (!version.ok()) {
      std::fprintf(stderr, "publish: %s\n", version.status().ToString().c_str());
      return {};
    }
    published[*version] = begin;
    SleepUntil(begin + absl::Seconds(1));
  }
  return published;
}

int RunFanOut(Options options, int watchers, const std::filesystem::path& folder) {
  options.clients = watchers;
  options.processes = std::min(options.processes, watchers);
  const std::filesystem::path config = folder / "snapshot.textproto";
  const absl::Status written =
      WriteFileAtomically(config, "run_id: 'bench' services { snapshot { address: '127.0.0.1:0' } }\n");
  const ServerProcess server(absl::StrCat(Beside("demorl-snapshot"), " --config ", config.string()));
  const absl::Duration begin = MonotonicNow() + kConnectTime;
  const absl::Duration end = begin + absl::Seconds(options.publications + 3);
  std::vector<std::string> commands;
  for (int process = 0; process < options.processes; ++process) {
    const int count = watchers * (process + 1) / options.processes - watchers * process / options.processes;
    commands.push_back(absl::StrCat(Self(), " --role watchers --port ", server.port(), " --clients ", count,
                                    " --end ", Exactly(end)));
  }
  const ProcessFigures empty = server.Figures();
  WorkerProcesses workers(commands);
  SleepUntil(begin);
  const ProcessFigures connected = server.Figures();
  const std::map<uint64_t, absl::Duration> published = Publish(options, server.port());
  Counts each_ms;
  std::map<uint64_t, std::pair<int, double>> last;
  for (const std::vector<std::string>& words : workers.ReadAll()) {
    const auto version = static_cast<uint64_t>(std::atoll(words[1].c_str()));
    const auto found = published.find(version);
    if (found != published.end()) {
      const double took_ms = 1e3 * (std::atof(words[2].c_str()) - absl::ToDoubleSeconds(found->second));
      each_ms[took_ms] += std::atoi(words[3].c_str());
      last[version].first += std::atoi(words[3].c_str());
      last[version].second = std::max(last[version].second, took_ms);
    }
  }
  Counts all_ms;
  int64_t skipped = 0;
  for (const auto& [version, came] : last) {
    ++all_ms[came.second];
    skipped += watchers - came.first;
  }
  if (!written.ok() || all_ms.empty()) {
    return 1;
  }
  Print("snapshot_to_one_p50", "ms", Quantile(each_ms, 0.5), options);
  Print("snapshot_to_one_p99", "ms", Quantile(each_ms, 0.99), options);
  Print("snapshot_to_all_p50", "ms", Quantile(all_ms, 0.5), options);
  Print("snapshot_to_all_worst", "ms", all_ms.rbegin()->first, options);
  Print("snapshot_fan_out", "GB/s", 1e-6 * options.payload_bytes * watchers / Quantile(all_ms, 0.5), options);
  Print("snapshot_versions_skipped", "versions", static_cast<double>(skipped), options);
  Print("server_memory_per_watcher", "KiB",
        static_cast<double>(connected.resident_bytes - empty.resident_bytes) / 1024 / watchers, options);
  Print("server_threads", "threads", connected.threads, options);
  return 0;
}

int RunAll(const Options& options) {
  std::string pattern = (std::filesystem::temp_directory_path() / "demorl_scale_XXXXXX").string();
  const std::filesystem::path folder = mkdtemp(pattern.data());
  int status = options.clients > 0 ? RunAppends(options, folder) : 0;
  for (const int watchers : options.watchers) {
    status = watchers > 0 ? std::max(status, RunFanOut(options, watchers, folder)) : status;
  }
  std::filesystem::remove_all(folder);
  return status;
}

// Each client is a file on either side.
void RaiseFileLimit() {
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

// "--name value" pairs into the options; false for anything else.
bool ParseFlags(int argc, char** argv, Options* options) {
  double port = 0, first = 0, watchers = -1;
  const std::map<std::string, std::function<void(double)>> flags = {
      {"--clients", [&](double value) { options->clients = static_cast<int>(value); }},
      {"--processes", [&](double value) { options->processes = static_cast<int>(value); }},
      {"--rate", [&](double value) { options->rate_hz = value; }},
      {"--rows", [&](double value) { options->rows_per_chunk = static_cast<int>(value); }},
      {"--updates-per-row", [&](double value) { options->updates_per_row = value; }},
      {"--seconds", [&](double value) { options->seconds = value; }},
      {"--watchers", [&](double value) { watchers = value; }},
      {"--publications", [&](double value) { options->publications = static_cast<int>(value); }},
      {"--payload-bytes", [&](double value) { options->payload_bytes = static_cast<int>(value); }},
      {"--port", [&](double value) { port = value; }},
      {"--first", [&](double value) { first = value; }},
      {"--begin", [&](double value) { options->load.begin = absl::Seconds(value); }},
      {"--end", [&](double value) { options->load.end = absl::Seconds(value); }},
  };
  for (int i = 1; i < argc; i += 2) {
    double value = 0;
    const auto found = flags.find(argv[i]);
    if (i + 1 < argc && std::string(argv[i]) == "--role") {
      options->role = argv[i + 1];
    } else if (found != flags.end() && i + 1 < argc && absl::SimpleAtod(argv[i + 1], &value)) {
      found->second(value);
    } else {
      return false;
    }
  }
  options->load.port = static_cast<int>(port);
  options->load.first_client = static_cast<int>(first);
  if (watchers >= 0) {
    options->watchers = {static_cast<int>(watchers)};
  }
  return true;
}

int Main(int argc, char** argv) {
  Options options;
  if (!ParseFlags(argc, argv, &options)) {
    std::fprintf(stderr,
                 "usage: %s [--clients N] [--processes N] [--rate HZ] [--rows N] [--updates-per-row U] "
                 "[--seconds S] [--watchers N] "
                 "[--publications N] [--payload-bytes N]\n",
                 argv[0]);
    return 1;
  }
  SkipLockOrderChecks();
  RaiseFileLimit();
  options.load.num_clients = options.clients;
  options.load.rate_hz = options.rate_hz;
  options.load.rows_per_chunk = options.rows_per_chunk;
  options.load.simulated = options.updates_per_row > 0;
  if (options.role == "echo") {
    return RunEchoReplay();
  }
  if (options.role == "clients") {
    return RunClients(options.load);
  }
  if (options.role == "watchers") {
    return RunWatchers({.port = options.load.port, .num_watchers = options.clients, .end = options.load.end});
  }
  return RunAll(options);
}

}  // namespace
}  // namespace demorl

int main(int argc, char** argv) { return demorl::Main(argc, argv); }
