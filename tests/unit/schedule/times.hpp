#pragma once

#include "calendar/instants.hpp"

/// "2026-01-01 10:00" in UTC.
inline std::chrono::sys_seconds at(const char* text) {
  return mlops::calendar::read_time(std::string(text) + "Z", mlops::calendar::TimeZone::load("UTC"));
}
