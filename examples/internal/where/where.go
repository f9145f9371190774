// Package where tells the programs of this folder where the cache is. A program
// of your own would hold these two values itself.
package where

import (
	"crypto/tls"
	"crypto/x509"
	"log"
	"os"
)

// Addr is host:port of the cache, from ENTRAREDIS_ADDR: port 6380 on Azure
// Cache for Redis, 10000 on Azure Managed Redis.
func Addr() string {
	addr := os.Getenv("ENTRAREDIS_ADDR")
	if addr == "" {
		log.Fatal(`set ENTRAREDIS_ADDR to the cache's address, like "example.redis.cache.windows.net:6380"`)
	}
	return addr
}

// TLS is the configuration of the connection. For Azure it is the plain one;
// ENTRAREDIS_CA_FILE and ENTRAREDIS_SERVER_NAME serve the emulator, whose
// authority no system trusts and whose host name no resolver knows.
func TLS() *tls.Config {
	config := &tls.Config{
		MinVersion: tls.VersionTLS12,
		ServerName: os.Getenv("ENTRAREDIS_SERVER_NAME"),
	}
	if file := os.Getenv("ENTRAREDIS_CA_FILE"); file != "" {
		pem, err := os.ReadFile(file)
		if err != nil {
			log.Fatal(err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			log.Fatalf("%s holds no certificate", file)
		}
	}
	return config
}
