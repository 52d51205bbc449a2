#include "schedule/units.hpp"

#include "schedule/translation.hpp"
#include "util/strings.hpp"

#include <algorithm>
#include <cctype>

namespace mlops::schedule {

namespace {

// `%` begins a specifier wherever a value stands.
std::string doubled(const std::string& text, std::string_view which) {
  std::string out;
  for (const char c : text) {
    if (which.find(c) != which.npos) out += c;
    out += c;
  }
  return out;
}

std::string text_value(const std::string& text) { return doubled(util::escape_controls(text), "%"); }

std::string in_quotes(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    if (c == '\n') {
      out += "\\n";
    } else {
      out += c;
    }
  }
  return out + "\"";
}

std::string word(const std::string& text) {
  const bool plain = !text.empty() && std::ranges::all_of(text, [](unsigned char c) {
    return std::isalnum(c) != 0 ||
           std::string_view("/._-=:,+@%$").find(static_cast<char>(c)) != std::string_view::npos;
  });
  return plain ? text : in_quotes(text);
}

std::string environment_lines(const Call& call) {
  std::string out;
  for (const auto& [name, value] : call.environment)
    out += "Environment=" + word(doubled(name + "=" + value, "%")) + "\n";
  return out;
}

std::vector<std::string> mlops(const Call& call, const std::vector<std::string>& rest) {
  std::vector<std::string> words = {call.program, "-w", call.workspace};
  words.insert(words.end(), rest.begin(), rest.end());
  return words;
}

std::string duration(std::chrono::milliseconds time) { return std::to_string(time.count()) + "ms"; }

Unit timer(const std::string& name, const std::string& service, const std::string& what,
           const Timetable& timetable, const Translation& translation) {
  const Schedule& entry = timetable.entry;
  Unit unit{name + ".timer", "", translation.lost};
  if (entry.overlap != Overlap::skip)
    unit.lost.push_back(std::string("`overlap: ") + to_string(entry.overlap) +
                        "`: systemd starts no second one while one is running");
  if (entry.catchup == Catchup::all)
    unit.lost.push_back("`catchup: all`: of what was missed, one run is made up for");
  if (entry.jitter.count() > 0) unit.lost.push_back("`jitter` is as long, but by other numbers");
  if (entry.start_within.count() > 0) unit.lost.push_back("`start_within`");
  unit.text = "[Unit]\nDescription=" + text_value(times_of(entry) + ": " + what) + "\n\n[Timer]\n";
  for (const std::string& time : translation.times) {
    if (time.starts_with("every ")) {
      unit.text += "OnActiveSec=" + time.substr(6) + "\nOnUnitActiveSec=" + time.substr(6) + "\n";
    } else {
      unit.text += "OnCalendar=" + time + "\n";
    }
  }
  unit.text += "AccuracySec=1s\n";
  if (entry.catchup != Catchup::none) unit.text += "Persistent=true\n";
  if (entry.jitter.count() > 0)
    unit.text += "RandomizedDelaySec=" + duration(entry.jitter) + "\nFixedRandomDelay=true\n";
  unit.text += "Unit=" + service + "\n\n[Install]\nWantedBy=timers.target\n";
  return unit;
}

}  // namespace

std::string unit_command(const std::vector<std::string>& words) {
  std::string out;
  for (const std::string& each : words) {
    // No variables in the program's own path, so that a `$` there is one.
    out += (out.empty() ? "" : " ") + word(doubled(each, out.empty() ? "%" : "%$"));
  }
  return out;
}

std::string unit_name(const std::string& text) {
  std::string name;
  for (const char c : text) {
    const auto u = static_cast<unsigned char>(c);
    const bool fits = u < 0x80 && (std::isalnum(u) != 0 || c == '_' || c == '.' || c == '-');
    if (fits || (!name.empty() && name.back() != '-')) name += fits ? c : '-';
  }
  while (!name.empty() && (name.back() == '-' || name.back() == '.')) name.pop_back();
  return name.substr(0, 100);
}

Unit daemon_unit(const Call& call, const std::string& name) {
  return {name + ".service",
          "[Unit]\n"
          "Description=mlops daemon of " +
              text_value(call.workspace) +
              "\n"
              "# One that cannot even start is not tried for ever.\n"
              "StartLimitIntervalSec=300\n"
              "StartLimitBurst=10\n"
              "\n"
              "[Service]\n"
              "Type=exec\n" +
              environment_lines(call) + "ExecStart=" + unit_command(mlops(call, {"daemon"})) +
              "\n"
              "ExecReload=/bin/kill -HUP $MAINPID\n"
              "Restart=on-failure\n"
              "RestartSec=5\n"
              "# 2: it was called wrongly. 75: another daemon serves the workspace.\n"
              "RestartPreventExitStatus=2 75\n"
              "# Runs lie in this unit's control group, and go on when the daemon is restarted or stopped.\n"
              "KillMode=process\n"
              "# Each step gets a control group of its own within it, and ends with all that is in there.\n"
              "Delegate=yes\n"
              "# A step that ran out of memory is that step's failure.\n"
              "OOMPolicy=continue\n"
              "TasksMax=infinity\n"
              "# No sandbox: steps inherit it, and may need sudo, containers or any file.\n"
              "\n"
              "[Install]\n"
              "WantedBy=default.target\n",
          {}};
}

std::vector<Unit> pipeline_units(const Call& call, const std::string& file, const std::string& pipeline,
                                 const std::vector<Timetable>& timetables, bool leaves_processes,
                                 sys_seconds now) {
  const std::string name = "mlops-" + unit_name(pipeline), service = name + ".service";
  const std::string what = pipeline + " (" + file + ")";
  std::vector<Unit> units;
  units.push_back({service,
                   "[Unit]\nDescription=" + text_value(what) + "\n\n[Service]\nType=oneshot\n" +
                       environment_lines(call) +
                       "ExecStart=" + unit_command(mlops(call, {"run", file, "--quiet"})) +
                       "\n# mlops ends its steps in order when it is asked to stop.\n" +
                       (leaves_processes ? "KillMode=process\n" : "KillMode=mixed\n") +
                       "Delegate=yes\nOOMPolicy=continue\n",
                   {}});
  for (std::size_t i = 0; i < timetables.size(); ++i) {
    const Timetable& timetable = timetables[i];
    Translation translation = to_on_calendar(timetable, now);
    const std::string& entry = timetable.entry.name;
    if (translation.times.empty()) {
      units.push_back({entry, "", std::move(translation.lost)});
    } else {
      units.push_back(
          timer(i == 0 ? name : name + "-" + unit_name(entry), service, what, timetable, translation));
    }
  }
  return units;
}

}  // namespace mlops::schedule
