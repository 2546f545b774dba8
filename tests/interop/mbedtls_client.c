/*
 * A DTLS client on Mbed TLS for tests: sends standard input as one record, and prints what comes back.
 *
 * Arguments: HOST PORT psk IDENTITY KEY_HEX | HOST PORT cert CA CERTIFICATE KEY (PEM files)
 */
#include <mbedtls/ctr_drbg.h>
#include <mbedtls/entropy.h>
#include <mbedtls/error.h>
#include <mbedtls/net_sockets.h>
#include <mbedtls/ssl.h>
#include <mbedtls/timing.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void check(int result, const char *what) {
  char text[128];
  if (result >= 0) return;
  mbedtls_strerror(result, text, sizeof text);
  fprintf(stderr, "%s: %s\n", what, text);
  exit(1);
}

static mbedtls_x509_crt authority, certificate;
static mbedtls_pk_context key;

static void use_psk(mbedtls_ssl_config *config, const char *identity, const char *hex) {
  unsigned char psk[64];
  size_t length = strlen(hex) / 2;
  for (size_t at = 0; at < length && at < sizeof psk; at++) sscanf(hex + 2 * at, "%2hhx", &psk[at]);
  check(mbedtls_ssl_conf_psk(config, psk, length, (const unsigned char *)identity, strlen(identity)), "psk");
}

static void use_certificate(mbedtls_ssl_config *config, char **files) {
  mbedtls_x509_crt_init(&authority);
  mbedtls_x509_crt_init(&certificate);
  mbedtls_pk_init(&key);
  check(mbedtls_x509_crt_parse_file(&authority, files[0]), files[0]);
  check(mbedtls_x509_crt_parse_file(&certificate, files[1]), files[1]);
  check(mbedtls_pk_parse_keyfile(&key, files[2], NULL), files[2]);
  mbedtls_ssl_conf_ca_chain(config, &authority, NULL);
  mbedtls_ssl_conf_authmode(config, MBEDTLS_SSL_VERIFY_REQUIRED);
  check(mbedtls_ssl_conf_own_cert(config, &certificate, &key), "own certificate");
}

int main(int count, char **arguments) {
  static const int psk_suites[] = {MBEDTLS_TLS_PSK_WITH_AES_128_CCM_8, 0};
  static const int key_suites[] = {MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_128_CCM_8, 0};
  mbedtls_entropy_context entropy;
  mbedtls_ctr_drbg_context random;
  mbedtls_ssl_config config;
  mbedtls_ssl_context ssl;
  mbedtls_net_context net;
  mbedtls_timing_delay_context timer;
  unsigned char buffer[2048];
  int result;

  if (count < 6) return 2;
  int psk = strcmp(arguments[3], "psk") == 0;
  mbedtls_entropy_init(&entropy);
  mbedtls_ctr_drbg_init(&random);
  mbedtls_ssl_config_init(&config);
  mbedtls_ssl_init(&ssl);
  mbedtls_net_init(&net);
  check(mbedtls_ctr_drbg_seed(&random, mbedtls_entropy_func, &entropy, NULL, 0), "seed");
  check(mbedtls_net_connect(&net, arguments[1], arguments[2], MBEDTLS_NET_PROTO_UDP), "connect");
  check(mbedtls_ssl_config_defaults(&config, MBEDTLS_SSL_IS_CLIENT, MBEDTLS_SSL_TRANSPORT_DATAGRAM,
                                    MBEDTLS_SSL_PRESET_DEFAULT),
        "defaults");
  mbedtls_ssl_conf_rng(&config, mbedtls_ctr_drbg_random, &random);
  mbedtls_ssl_conf_ciphersuites(&config, psk ? psk_suites : key_suites);
  mbedtls_ssl_conf_read_timeout(&config, 20000);
  if (psk)
    use_psk(&config, arguments[4], arguments[5]);
  else
    use_certificate(&config, arguments + 4);
  check(mbedtls_ssl_setup(&ssl, &config), "setup");
  /* As in the server's certificate. */
  check(mbedtls_ssl_set_hostname(&ssl, "localhost"), "host name");
  mbedtls_ssl_set_bio(&ssl, &net, mbedtls_net_send, mbedtls_net_recv, mbedtls_net_recv_timeout);
  mbedtls_ssl_set_timer_cb(&ssl, &timer, mbedtls_timing_set_delay, mbedtls_timing_get_delay);
  do result = mbedtls_ssl_handshake(&ssl);
  while (result == MBEDTLS_ERR_SSL_WANT_READ || result == MBEDTLS_ERR_SSL_WANT_WRITE);
  check(result, "handshake");

  ssize_t length = read(STDIN_FILENO, buffer, sizeof buffer);
  check((int)length, "standard input");
  check(mbedtls_ssl_write(&ssl, buffer, (size_t)length), "write");
  for (;;) {
    result = mbedtls_ssl_read(&ssl, buffer, sizeof buffer);
    if (result == MBEDTLS_ERR_SSL_WANT_READ) continue;
    check(result, "read");
    if (fwrite(buffer, 1, (size_t)result, stdout) == 0 || fflush(stdout) != 0) return 1;
  }
}
