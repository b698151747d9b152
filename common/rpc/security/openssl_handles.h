#pragma once

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <memory>

#include "absl/strings/string_view.h"

namespace demorl::openssl {

template <auto Free>
struct Deleter {
  template <typename T>
  void operator()(T* object) const {
    Free(object);
  }
};

using Bio = std::unique_ptr<BIO, Deleter<BIO_free_all>>;
using Key = std::unique_ptr<EVP_PKEY, Deleter<EVP_PKEY_free>>;
using CertificatePtr = std::unique_ptr<X509, Deleter<X509_free>>;
using RevocationListPtr = std::unique_ptr<X509_CRL, Deleter<X509_CRL_free>>;

// Reads from `text`, which it borrows.
inline Bio ReaderOf(absl::string_view text) {
  return Bio(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}

// The first certificate; null if there is none.
inline CertificatePtr ReadPemCertificate(absl::string_view pem) {
  return CertificatePtr(PEM_read_bio_X509(ReaderOf(pem).get(), nullptr, nullptr, nullptr));
}

}  // namespace demorl::openssl
