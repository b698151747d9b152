#include "common/bench/server_process.h"

#include <signal.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace demorl {
namespace {

std::string ReadLine(FILE* file) {
  char line[8192];
  return std::fgets(line, sizeof(line), file) == nullptr ? "" : line;
}

std::string ReadText(const std::string& path) {
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

int64_t NumberAfter(const std::string& text, const std::string& label) {
  const size_t found = text.find(label);
  return found == std::string::npos ? 0 : std::atoll(text.c_str() + found + label.size());
}

}  // namespace

std::string Beside(const std::string& name) {
  return (std::filesystem::read_symlink("/proc/self/exe").parent_path() / name).string();
}

ServerProcess::ServerProcess(const std::string& command)
    : output_(popen(absl::StrCat("echo $$; exec ", command, " 2>&1").c_str(), "r")) {
  pid_ = std::atoi(ReadLine(output_).c_str());
  std::string all;
  for (std::string line = ReadLine(output_); !line.empty() && port_ == 0; line = ReadLine(output_)) {
    all += line;
    port_ = static_cast<int>(NumberAfter(line, "(port "));
    if (port_ != 0) {
      break;
    }
  }
  if (port_ == 0) {
    std::fprintf(stderr, "the server did not start:\n%s", all.c_str());
  }
  reader_ = std::thread([this] {
    while (!ReadLine(output_).empty()) {
    }
  });
}

ServerProcess::~ServerProcess() {
  kill(pid_, SIGTERM);
  reader_.join();
  pclose(output_);
}

ProcessFigures ServerProcess::Figures() const {
  const std::string folder = absl::StrCat("/proc/", pid_);
  const std::string status = ReadText(folder + "/status");
  ProcessFigures figures{.resident_bytes = 1024 * NumberAfter(status, "VmRSS:"),
                         .threads = static_cast<int>(NumberAfter(status, "Threads:"))};
  std::error_code error;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(folder + "/fd", error)) {
    ++figures.open_files;
  }
  const std::string stat = ReadText(folder + "/stat");
  const std::vector<std::string> fields =
      absl::StrSplit(stat.substr(stat.rfind(')') + 1), ' ', absl::SkipEmpty());
  if (fields.size() > 12) {  // utime and stime, the 14th and 15th of all
    figures.cpu = absl::Seconds((std::atof(fields[11].c_str()) + std::atof(fields[12].c_str())) /
                                static_cast<double>(sysconf(_SC_CLK_TCK)));
  }
  return figures;
}

WorkerProcesses::WorkerProcesses(const std::vector<std::string>& commands) {
  for (const std::string& command : commands) {
    outputs_.push_back(popen(absl::StrCat("exec ", command).c_str(), "r"));
  }
}

std::vector<std::vector<std::string>> WorkerProcesses::ReadAll() {
  std::vector<std::vector<std::string>> lines;
  bool failed = false;
  for (FILE* output : outputs_) {
    for (std::string line = ReadLine(output); !line.empty(); line = ReadLine(output)) {
      lines.push_back(absl::StrSplit(line, absl::ByAnyChar(" \n"), absl::SkipEmpty()));
    }
    failed = pclose(output) != 0 || failed;
  }
  outputs_.clear();
  if (failed) {
    std::fprintf(stderr, "a worker of the benchmark failed\n");
    return {};
  }
  return lines;
}

}  // namespace demorl
