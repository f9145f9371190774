package doctor

// TargetAddr completes HOST or HOST:PORT to "host:port", as Run does with
// Options.Addr: without a port it is that of the product the name belongs to,
// else 6380. The error is a *[TargetError].
func TargetAddr(addr string) (string, error) {
	t, err := parseTarget(addr)
	if err != nil {
		return "", err
	}
	return t.addr(), nil
}
