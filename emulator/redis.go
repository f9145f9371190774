package emulator

import (
	"errors"
	"fmt"
	"slices"

	"github.com/entraredis/entraredis/emulator/internal/front"
	"github.com/entraredis/entraredis/emulator/internal/issuer"
)

// verify decides about an AUTH. The service tells the client none of these
// reasons; they are for the log.
func (e *Emulator) verify(username, password string) (front.Session, error) {
	if e.entraOff.Load() {
		return front.Session{}, errEntraOff
	}
	claims, err := e.signed.read(password)
	if err != nil {
		return front.Session{}, err
	}
	now := e.Now()
	switch {
	case !slices.ContainsFunc(claims.Audience, func(a string) bool { return slices.Contains(issuer.RedisAudiences, a) }):
		return front.Session{}, fmt.Errorf("token is for audience %q", claims.Audience)
	case !slices.Contains(e.issuer.Issuers(), claims.Issuer):
		return front.Session{}, fmt.Errorf("token is of issuer %q", claims.Issuer)
	case claims.ExpiresAt.IsZero() || !now.Before(claims.ExpiresAt):
		return front.Session{}, fmt.Errorf("token expired at %v", claims.ExpiresAt)
	case now.Before(claims.NotBefore):
		return front.Session{}, fmt.Errorf("token is not valid before %v", claims.NotBefore)
	case claims.ObjectID == "":
		return front.Session{}, errors.New("token has no oid claim")
	case username != claims.ObjectID:
		return front.Session{}, fmt.Errorf("the user name is not the token's object ID %q", claims.ObjectID)
	}
	e.mu.Lock()
	rules := e.rules[username]
	e.mu.Unlock()
	if rules == nil {
		return front.Session{}, fmt.Errorf("object ID %q has no access policy", username)
	}
	name := ""
	for _, p := range e.options.Principals {
		if p.ObjectID == username {
			name = p.Name
		}
	}
	return front.Session{Principal: name, Username: username, Expires: claims.ExpiresAt, Rules: rules}, nil
}

// SetPolicy assigns another access policy: a built-in one by name, a rule
// string, or "" for none. It holds at once, for open connections too; with
// none, those stay open with what they may do, and the next AUTH is refused.
// Azure does not document the latter.
func (e *Emulator) SetPolicy(principal, policy string) error {
	p, ok := e.principal(principal)
	if !ok {
		return fmt.Errorf("emulator: there is no principal %q", principal)
	}
	rules, err := parsePolicy(policy)
	if err != nil {
		return fmt.Errorf("emulator: %w", err)
	}
	e.mu.Lock()
	e.rules[p.ObjectID] = rules
	e.mu.Unlock()
	if rules != nil {
		e.front.SetRules(p.ObjectID, rules)
	}
	return nil
}

// SetFault puts a fault in the way of requests until clear is called; clear may
// be called again. Faults that were set earlier go first. A fault for an
// endpoint that does not exist would never hit, so it panics.
func (e *Emulator) SetFault(f Fault) (clear func()) { return e.faults.add(f) }
