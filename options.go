package entraredis

import (
	"fmt"
	"log/slog"
	"net/url"
	"regexp"
	"strings"
	"time"
)

// DefaultScope is the scope of Azure Cache for Redis and Azure Managed Redis,
// the same in every cloud (Microsoft Learn, "Use Microsoft Entra ID for cache
// authentication").
const DefaultScope = "https://redis.azure.com/.default"

// redisAppID is the application ID of the Redis resource. Its scope form,
// redisAppID + "/.default", is the documented alternative to [DefaultScope].
const redisAppID = "acca5fbb-b7e4-4009-81f1-37e38fd66d78"

const defaultRequestTimeout = 30 * time.Second

// Options changes how a [Source] works. The zero value, like a nil pointer,
// means the defaults.
type Options struct {
	// Scope is what access tokens are requested for: "<resource>/.default",
	// the resource being an https URL or a GUID. Default: DefaultScope.
	Scope string

	// Username is the Redis username. Default: the token's object ID ("oid")
	// claim, which is what Azure expects. With a Username the token need not
	// be a JWT.
	Username string

	// RequestTimeout bounds one acquisition. Default: 30 seconds. Credentials
	// that wait for a person (browser, device code) want minutes. While a
	// valid token is held the bound shrinks with that token's remaining life.
	RequestTimeout time.Duration

	// Logger receives refreshes at debug level and failures at warn level.
	// Nil: silent. Tokens are never logged.
	Logger *slog.Logger

	// OnEvent is told what happens in the background. It is called from a
	// background goroutine, never concurrently with itself, and delays no
	// refresh; events beyond a few thousand undelivered ones are dropped,
	// oldest first.
	OnEvent func(Event)
}

// withDefaults returns the completed options, or what is wrong with them.
func (o *Options) withDefaults() (Options, error) {
	var c Options
	if o != nil {
		c = *o
	}
	if c.Scope == "" {
		c.Scope = DefaultScope
	}
	if err := checkScope(c.Scope); err != nil {
		return c, err
	}
	if c.RequestTimeout < 0 {
		return c, fmt.Errorf("entraredis: request timeout %v is negative", c.RequestTimeout)
	}
	if c.RequestTimeout == 0 {
		c.RequestTimeout = defaultRequestTimeout
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c, nil
}

var (
	guid        = regexp.MustCompile(`^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$`)
	almostAGUID = regexp.MustCompile(`^[0-9A-Fa-f]*(-[0-9A-Fa-f]*){2,}$`)
)

// checkScope explains what is wrong with a scope. Entra itself would answer a
// malformed one only at the first token request, and less clearly.
func checkScope(scope string) error {
	resource, ok := strings.CutSuffix(scope, "/.default")
	switch {
	case !ok:
		return fmt.Errorf("entraredis: scope %q does not end in %q: want a form like %q", scope, "/.default", DefaultScope)
	case resource == "":
		return fmt.Errorf("entraredis: scope %q names no resource: want a form like %q", scope, DefaultScope)
	case guid.MatchString(resource):
		return nil
	case almostAGUID.MatchString(resource):
		return fmt.Errorf("entraredis: scope %q: %q is not a well-formed GUID%s", scope, resource, guidHint(resource))
	}
	u, err := url.Parse(resource)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return fmt.Errorf("entraredis: scope %q: resource %q is neither an https URL nor a GUID", scope, resource)
	}
	return nil
}

func guidHint(resource string) string {
	if strings.EqualFold(resource, redisAppID[1:]) {
		return fmt.Sprintf("; it looks like the application ID of Azure Redis, %s, with its first letter missing", redisAppID)
	}
	return ""
}
