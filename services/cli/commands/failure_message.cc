#include "services/cli/commands/failure_message.h"

#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace demorl {
namespace {

const CLI::App* AskedCommand(const CLI::App* app) {
  while (!app->get_subcommands().empty()) {
    app = app->get_subcommands().front();
  }
  return app;
}

// "demorl certs issue".
std::string CommandLineOf(const CLI::App* command) {
  const CLI::App* const parent = command->get_parent();
  return parent == nullptr ? command->get_name()
                           : absl::StrCat(CommandLineOf(parent), " ", command->get_name());
}

}  // namespace

std::string FailureMessage(const CLI::App* app, const CLI::Error& error) {
  const CLI::App* const command = AskedCommand(app);
  std::vector<std::string> there_are;
  for (const CLI::App* one : command->get_subcommands([](const CLI::App*) { return true; })) {
    there_are.push_back(one->get_name());
  }
  if (there_are.empty()) {
    return absl::StrCat(CommandLineOf(command), ": ", error.what(), "; see ", CommandLineOf(command),
                        " --help\n");
  }
  const std::vector<std::string> rest = app->remaining(true);
  return absl::StrCat(CommandLineOf(command), ": ",
                      rest.empty() ? "no command" : absl::StrCat("\"", rest.front(), "\" is no command"),
                      "; there are ", absl::StrJoin(there_are, ", "), "\n");
}

}  // namespace demorl
