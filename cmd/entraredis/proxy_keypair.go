package main

import (
	"crypto/tls"
	"log/slog"
	"os"
	"strconv"
	"sync"
)

// keyPair is a listener's certificate. It is loaded again when its files change,
// as those of cert-manager and certbot do, without touching connections.
type keyPair struct {
	cert, key string
	log       *slog.Logger

	mu     sync.Mutex // guards the rest
	stamp  string
	loaded *tls.Certificate
}

// current is a tls.Config.GetCertificate. While new files are not a pair, as in
// the midst of an exchange, the old pair stays in use.
func (p *keyPair) current(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := stampOf(p.cert) + stampOf(p.key)
	if p.loaded != nil && now == p.stamp {
		return p.loaded, nil
	}
	pair, err := tls.LoadX509KeyPair(p.cert, p.key)
	switch {
	case err == nil:
		p.loaded, p.stamp = &pair, now
	case p.loaded == nil:
		return nil, err
	default:
		p.stamp = now
		p.log.Error("listener keeps its old certificate", "error", err)
	}
	return p.loaded, nil
}

// stampOf changes when a file does.
func stampOf(path string) string {
	info, err := os.Stat(path)
	if err != nil {
		return err.Error()
	}
	return info.ModTime().String() + " " + strconv.FormatInt(info.Size(), 10)
}
