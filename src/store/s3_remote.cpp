#include "store/s3_remote.hpp"

#include <mlops/error.hpp>

#include "store/directory_scan.hpp"
#include "store/read_range.hpp"
#include "util/files.hpp"
#include "util/xml_text.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <map>
#include <mutex>

namespace mlops::store {

namespace {

constexpr std::size_t npos = static_cast<std::size_t>(-1);
constexpr std::uint64_t most_parts = 9'000;  // S3 takes 10,000

std::uint64_t number(const std::optional<std::string>& text) {
  std::uint64_t value = 0;
  if (text) std::from_chars(text->data(), text->data() + text->size(), value);
  return value;
}

}  // namespace

struct S3Remote::Parts {
  Upload* file = nullptr;
  std::size_t index = 0;  // of the file
  std::uint64_t size = part_size;
  int count = 0;
  std::mutex mutex;
  std::string id;                    // of the upload, once it has begun
  std::map<int, std::string> etags;  // of the parts that are there
};

// A page of what is there, from where the one before ended; what comes next continues after `continuation`.
void S3Remote::list_page(const std::string& name, std::string& continuation, std::vector<RemoteFile>& files) {
  const std::string strip = client_.key("");
  S3Request request;
  request.query = {{"list-type", "2"}, {"prefix", client_.key(name)}};
  if (!continuation.empty()) request.query.emplace_back("continuation-token", continuation);
  const std::string attempt = "list '" + name + "'";
  const util::HttpAnswer answer = client_.perform(request, attempt);
  if (!answer.ok()) client_.fail(attempt, answer);
  for (const std::string_view entry : util::xml_elements(answer.body, "Contents")) {
    const std::string found = util::xml_text(entry, "Key").value_or("");
    if (!found.starts_with(strip)) continue;
    const std::string short_name = found.substr(strip.size());
    if (name.ends_with('/') || short_name == name)
      files.push_back({short_name, number(util::xml_text(entry, "Size"))});
  }
  const bool more = util::xml_text(answer.body, "IsTruncated") == "true";
  continuation = more ? util::xml_text(answer.body, "NextContinuationToken").value_or("") : "";
}

void S3Remote::list_rest(const std::string& name, std::string continuation, std::vector<RemoteFile>& files) {
  while (!continuation.empty()) list_page(name, continuation, files);
}

// The directories in a directory; none when there are more than one answer holds.
std::vector<std::string> S3Remote::directories_in(const std::string& name) {
  const std::string strip = client_.key("");
  S3Request request;
  request.query = {{"list-type", "2"}, {"prefix", client_.key(name)}, {"delimiter", "/"}};
  const util::HttpAnswer answer = client_.perform(request, "list '" + name + "'");
  std::vector<std::string> names;
  if (!answer.ok() || util::xml_text(answer.body, "IsTruncated") == "true") return names;
  if (!util::xml_elements(answer.body, "Contents").empty()) return names;
  for (const std::string_view entry : util::xml_elements(answer.body, "CommonPrefixes"))
    names.push_back(util::xml_text(entry, "Prefix").value_or("").substr(strip.size()));
  return names;
}

std::vector<RemoteFile> S3Remote::list(const std::vector<std::string>& names) {
  std::mutex mutex;
  std::vector<RemoteFile> files;
  const auto take = [&](std::vector<RemoteFile>& found) {
    const std::lock_guard lock(mutex);
    files.insert(files.end(), std::make_move_iterator(found.begin()), std::make_move_iterator(found.end()));
  };
  // What does not fit on one page is listed directory by directory, side by side, where it has some.
  std::vector<std::string> parts;
  parallel_for(names.size(), jobs_, [&](std::size_t i) {
    std::vector<RemoteFile> found;
    std::string continuation;
    list_page(names[i], continuation, found);
    const auto directories = continuation.empty() ? std::vector<std::string>() : directories_in(names[i]);
    if (directories.empty()) {
      list_rest(names[i], continuation, found);
      return take(found);
    }
    const std::lock_guard lock(mutex);
    parts.insert(parts.end(), directories.begin(), directories.end());
  });
  parallel_for(parts.size(), jobs_, [&](std::size_t i) {
    std::vector<RemoteFile> found;
    std::string continuation;
    list_page(parts[i], continuation, found);
    list_rest(parts[i], continuation, found);
    take(found);
  });
  return files;
}

void S3Remote::put_bytes(const std::string& name, std::string_view bytes) {
  S3Request request;
  request.method = "PUT";
  request.name = name;
  request.body = bytes;
  const util::HttpAnswer answer = client_.perform(request, "write '" + name + "'");
  if (!answer.ok()) client_.fail("write '" + name + "'", answer);
}

// False if the local bytes do not fit their name: a server that checks uploads would say so too, but not all
// do.
bool S3Remote::put_file(const Upload& file) {
  const auto content = util::hash_path(file.path);
  if (!content || content->sha256 != file.digest.hex()) return false;
  const util::Fd fd = util::open_file(file.path, O_RDONLY);
  S3Request request;
  request.method = "PUT";
  request.name = file.name;
  request.body_fd = fd.get();
  request.body_size = file.size;
  request.payload_sha256 = file.digest.hex();
  const util::HttpAnswer answer = client_.perform(request, "write '" + file.name + "'");
  if (!answer.ok()) client_.fail("write '" + file.name + "'", answer);
  return true;
}

// Goes on with an upload that was begun before, if there is one with parts of our size: the key is the name
// of its content, so what was sent under it is right.
void S3Remote::begin_parts(Parts& parts) {
  const std::string& name = parts.file->name;
  const std::string attempt = "write '" + name + "'";
  S3Request request;
  request.query = {{"uploads", ""}, {"prefix", client_.key(name)}};
  util::HttpAnswer answer = client_.perform(request, attempt);
  if (answer.ok()) {
    for (const std::string_view upload : util::xml_elements(answer.body, "Upload")) {
      if (util::xml_text(upload, "Key") == client_.key(name))
        parts.id = util::xml_text(upload, "UploadId").value_or("");
    }
  }
  if (!parts.id.empty()) {
    std::string marker;
    do {
      request = {};
      request.name = name;
      request.query = {{"uploadId", parts.id}};
      if (!marker.empty()) request.query.emplace_back("part-number-marker", marker);
      answer = client_.perform(request, attempt);
      if (!answer.ok()) break;
      for (const std::string_view part : util::xml_elements(answer.body, "Part")) {
        const auto index = number(util::xml_text(part, "PartNumber"));
        const std::uint64_t size = number(util::xml_text(part, "Size"));
        const std::uint64_t wanted =
            std::min(parts.size, parts.file->size - std::min(parts.file->size, (index - 1) * parts.size));
        if (index >= 1 && index <= static_cast<std::uint64_t>(parts.count) && size == wanted)
          parts.etags[static_cast<int>(index)] = util::xml_text(part, "ETag").value_or("");
      }
      const bool more = util::xml_text(answer.body, "IsTruncated") == "true";
      marker = more ? util::xml_text(answer.body, "NextPartNumberMarker").value_or("") : "";
    } while (!marker.empty());
    if (answer.ok()) return;
    parts.id.clear();
    parts.etags.clear();
  }
  request = {};
  request.method = "POST";
  request.name = name;
  request.query = {{"uploads", ""}};
  answer = client_.perform(request, attempt);
  if (!answer.ok()) client_.fail(attempt, answer);
  parts.id = util::xml_text(answer.body, "UploadId").value_or("");
  if (parts.id.empty()) client_.fail(attempt, answer);
}

void S3Remote::send_part(Parts& parts, int index) {
  const std::string attempt = "write part " + std::to_string(index) + " of '" + parts.file->name + "'";
  {
    const std::lock_guard lock(parts.mutex);
    if (parts.id.empty()) begin_parts(parts);
    if (parts.etags.contains(index)) return;
  }
  const util::Fd fd = util::open_file(parts.file->path, O_RDONLY);
  S3Request request;
  request.method = "PUT";
  request.name = parts.file->name;
  request.query = {{"partNumber", std::to_string(index)}, {"uploadId", parts.id}};
  request.body_fd = fd.get();
  request.body_offset = static_cast<std::uint64_t>(index - 1) * parts.size;
  request.body_size = std::min(parts.size, parts.file->size - request.body_offset);
  util::Sha256 hash;
  if (!read_range(fd.get(), request.body_offset, request.body_size,
                  [&](std::string_view part) { hash.update(part); }))
    throw_errno("cannot read '" + parts.file->path + "'", errno != 0 ? errno : EIO);
  request.payload_sha256 = hash.hex();
  const util::HttpAnswer answer = client_.perform(request, attempt);
  if (!answer.ok()) client_.fail(attempt, answer);
  const auto etag = answer.headers.find("etag");
  const std::lock_guard lock(parts.mutex);
  parts.etags[index] = etag == answer.headers.end() ? "" : etag->second;
}

void S3Remote::complete_parts(Parts& parts) {
  std::string list = "<CompleteMultipartUpload>";
  for (const auto& [index, etag] : parts.etags)
    list += "<Part><PartNumber>" + std::to_string(index) + "</PartNumber><ETag>" + util::xml_escape(etag) +
            "</ETag></Part>";
  list += "</CompleteMultipartUpload>";
  S3Request request;
  request.method = "POST";
  request.name = parts.file->name;
  request.query = {{"uploadId", parts.id}};
  request.headers = {{"content-type", "application/xml"}};
  request.body = list;
  const std::string attempt = "complete '" + parts.file->name + "'";
  const util::HttpAnswer answer = client_.perform(request, attempt);
  // An error may come with 200: the answer is begun before the work is done.
  if (answer.ok() && answer.body.find("<Error>") == std::string::npos) return;
  // A try whose answer was lost has done it already.
  const std::vector<RemoteFile> there = this->list({parts.file->name});
  if (there.empty() || there[0].size != parts.file->size) client_.fail(attempt, answer);
}

void S3Remote::upload(std::vector<Upload>& files, const OnDone& on_done) {
  struct Task {
    std::size_t file = 0;
    Parts* parts = nullptr;
    int part = 0;
  };
  // Parts are sent as they are, so that the whole has to be right before.
  const auto in_parts = [](const Upload& file) { return !file.path.empty() && file.size > part_size; };
  parallel_for(files.size(), jobs_, [&](std::size_t i) {
    if (!in_parts(files[i])) return;
    const auto content = util::hash_path(files[i].path);
    files[i].damaged = !content || content->sha256 != files[i].digest.hex();
  });
  std::vector<Task> tasks;
  std::vector<std::unique_ptr<Parts>> large;
  for (std::size_t i = 0; i < files.size(); ++i) {
    if (!in_parts(files[i])) {
      tasks.push_back({i});
      continue;
    }
    if (files[i].damaged) {
      on_done(i);
      continue;
    }
    auto parts = std::make_unique<Parts>();
    parts->file = &files[i];
    parts->index = i;
    const std::uint64_t least = files[i].size / most_parts + 1, mib = 1 << 20;
    parts->size = std::max(part_size, (least + mib - 1) / mib * mib);
    parts->count = static_cast<int>((files[i].size + parts->size - 1) / parts->size);
    for (int part = 1; part <= parts->count; ++part) tasks.push_back({i, parts.get(), part});
    large.push_back(std::move(parts));
  }
  std::mutex mutex;
  const auto done = [&](std::size_t i) {
    const std::lock_guard lock(mutex);
    on_done(i);
  };
  parallel_for(tasks.size(), jobs_, [&](std::size_t at) {
    const Task& task = tasks[at];
    Upload& file = files[task.file];
    if (task.parts) {
      send_part(*task.parts, task.part);
      {
        const std::lock_guard lock(task.parts->mutex);
        if (task.parts->etags.size() < static_cast<std::size_t>(task.parts->count) ||
            task.parts->index == npos)
          return;
        task.parts->index = npos;  // only the last one gets here
      }
      complete_parts(*task.parts);
      return done(task.file);
    }
    if (file.path.empty()) {
      put_bytes(file.name, file.bytes);
    } else {
      file.damaged = !put_file(file);
    }
    if (!file.damaged && !file.then_name.empty()) put_bytes(file.then_name, file.then_bytes);
    done(task.file);
  });
}

void S3Remote::get(Download& file) {
  util::Fd to;
  std::uint64_t done = file.bytes.size();
  if (!file.path.empty()) {
    to = util::open_file(file.path, O_WRONLY | O_CREAT | O_APPEND);
    struct stat st {};
    if (::fstat(to.get(), &st) == 0) done = static_cast<std::uint64_t>(st.st_size);
  }
  if (done >= file.size) return;
  S3Request request;
  request.name = file.name;
  int local_error = 0;
  request.sink = [&](std::string_view part) {
    if (done + part.size() > file.size) return false;  // not what was asked for
    if (file.path.empty()) {
      file.bytes += part;
    } else if ((local_error = util::write_all(to.get(), part)) != 0) {
      return false;
    }
    done += part.size();
    return true;
  };
  const auto set_range = [&] {
    request.headers = {{"range", "bytes=" + std::to_string(file.offset + done) + "-" +
                                     std::to_string(file.offset + file.size - 1)}};
  };
  set_range();
  request.before_again = set_range;
  const std::string attempt = "read '" + file.name + "'";
  util::HttpAnswer answer;
  try {
    answer = client_.perform(request, attempt);
  } catch (const Error&) {
    if (local_error != 0) throw_errno("cannot write '" + file.path + "'", local_error);
    throw;
  }
  if (answer.status == 404 && util::xml_text(answer.body, "Code") != "NoSuchBucket") {
    file.missing = true;
  } else if (answer.status == 416) {
    file.missing = true;
  } else if (!answer.ok()) {
    client_.fail(attempt, answer);
  } else if (done < file.size) {
    file.missing = true;
  }
}

void S3Remote::download(std::vector<Download>& files, const OnDone& on_done) {
  std::mutex mutex;
  parallel_for(files.size(), jobs_, [&](std::size_t i) {
    get(files[i]);
    const std::lock_guard lock(mutex);
    on_done(i);
  });
}

}  // namespace mlops::store
