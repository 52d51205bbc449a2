// The one home of libcurl. It is opened on first use: linked plainly, its 25 libraries would cost every start
// of mlops some 7 ms. So far only its version is asked for.
#pragma once

#include <string>

namespace mlops::util {

/// As "libcurl/7.88.1 OpenSSL/3.0.16 …"; "not installed" if it cannot be opened.
std::string curl_version();

}  // namespace mlops::util
