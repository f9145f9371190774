#!/bin/sh
# Makes the certificate files of the tests, with OpenSSL 3 so that the readers
# are tried on files that another program wrote. The password of all is
# "correct horse". Nothing anywhere trusts these keys.
set -eu
cd "$(dirname "$0")"
openssl req -x509 -newkey rsa:2048 -nodes -days 36500 -subj "/CN=entraredis test" -keyout key.tmp -out cert.tmp 2>/dev/null
openssl pkcs8 -topk8 -in key.tmp -v2 aes-256-cbc -v2prf hmacWithSHA256 -passout "pass:correct horse" -out encrypted.tmp
cat encrypted.tmp cert.tmp >encrypted.pem
openssl pkcs8 -topk8 -in key.tmp -v2 aes-128-cbc -v2prf hmacWithSHA1 -passout "pass:correct horse" -out encrypted.tmp
cat encrypted.tmp cert.tmp >encrypted-sha1.pem
openssl rsa -in key.tmp -traditional -aes128 -passout "pass:correct horse" -out encrypted.tmp 2>/dev/null
cat encrypted.tmp cert.tmp >traditional.pem
openssl pkcs12 -export -inkey key.tmp -in cert.tmp -passout "pass:correct horse" -out modern.pfx
openssl pkcs12 -export -legacy -inkey key.tmp -in cert.tmp -passout "pass:correct horse" -out legacy.pfx
openssl pkcs12 -export -nokeys -in cert.tmp -passout "pass:correct horse" -out nokey.pfx
rm ./*.tmp
