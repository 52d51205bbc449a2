// The system calls by which files are named: the filter of a traced step tells of these, the keeper reads
// them.
#pragma once

#include <linux/audit.h>
#include <sys/syscall.h>

#include <cstdint>
#include <span>

namespace mlops::process {

enum class CallKind : std::uint8_t {
  open,
  create,
  open_how,
  execute,
  rename,
  link,
  symlink,
  remove,
  truncate
};

/// Which arguments of a call say what; -1: none, the working directory.
struct TracedCall {
  std::uint32_t number;
  CallKind kind;
  std::int8_t directory = -1;
  std::int8_t path = 0;
  std::int8_t flags = -1;         ///< of open: O_…
  std::int8_t to_directory = -1;  ///< of rename and link
  std::int8_t to_path = -1;
};

struct TracedAbi {
  std::uint32_t audit;  ///< AUDIT_ARCH_…
  std::span<const TracedCall> calls;
};

namespace traced {

#if defined(__x86_64__)
inline constexpr std::uint32_t native = AUDIT_ARCH_X86_64;
#elif defined(__aarch64__)
inline constexpr std::uint32_t native = AUDIT_ARCH_AARCH64;
#else
inline constexpr std::uint32_t native = 0;
#endif

inline constexpr TracedCall native_calls[] = {
#ifdef SYS_open
    {SYS_open, CallKind::open, -1, 0, 1},
    {SYS_creat, CallKind::create},
    {SYS_rename, CallKind::rename, -1, 0, -1, -1, 1},
    {SYS_link, CallKind::link, -1, 0, -1, -1, 1},
    {SYS_symlink, CallKind::symlink, -1, 1},
    {SYS_unlink, CallKind::remove},
#endif
#ifdef SYS_renameat
    {SYS_renameat, CallKind::rename, 0, 1, -1, 2, 3},
#endif
    {SYS_openat, CallKind::open, 0, 1, 2},
    {SYS_openat2, CallKind::open_how, 0, 1, 2},
    {SYS_execve, CallKind::execute},
    {SYS_execveat, CallKind::execute, 0, 1},
    {SYS_renameat2, CallKind::rename, 0, 1, -1, 2, 3},
    {SYS_linkat, CallKind::link, 0, 1, -1, 2, 3},
    {SYS_symlinkat, CallKind::symlink, 1, 2},
    {SYS_unlinkat, CallKind::remove, 0, 1},
    {SYS_truncate, CallKind::truncate},
};

// 32-bit programs on a 64-bit kernel.
inline constexpr TracedCall i386_calls[] = {
    {5, CallKind::open, -1, 0, 1},
    {8, CallKind::create},
    {9, CallKind::link, -1, 0, -1, -1, 1},
    {10, CallKind::remove},
    {11, CallKind::execute},
    {38, CallKind::rename, -1, 0, -1, -1, 1},
    {83, CallKind::symlink, -1, 1},
    {92, CallKind::truncate},
    {193, CallKind::truncate},
    {295, CallKind::open, 0, 1, 2},
    {301, CallKind::remove, 0, 1},
    {302, CallKind::rename, 0, 1, -1, 2, 3},
    {303, CallKind::link, 0, 1, -1, 2, 3},
    {304, CallKind::symlink, 1, 2},
    {353, CallKind::rename, 0, 1, -1, 2, 3},
    {358, CallKind::execute, 0, 1},
    {437, CallKind::open_how, 0, 1, 2},
};

inline constexpr TracedAbi abis[] = {
    {native, native_calls},
#if defined(__x86_64__)
    {AUDIT_ARCH_I386, i386_calls},
#endif
};

}  // namespace traced

}  // namespace mlops::process
