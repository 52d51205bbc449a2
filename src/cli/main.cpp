#include "cli/context.hpp"
#include "process/keeper.hpp"

#include <cstring>

int main(int argc, char** argv) {
  if (argc == 2 && std::strcmp(argv[1], mlops::process::keeper_argument) == 0) {
    return mlops::process::run_keeper(mlops::util::Fd(3));
  }
  return mlops::cli::run_command_line(argc, argv);
}
