package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/entraredis/entraredis"
)

const envLong = `Print the variables that a Redis client needs, as lines for a shell to evaluate:

  REDIS_HOST             host of the cache
  REDIS_PORT             its port with TLS
  REDIS_USERNAME         the object ID of the identity
  REDIS_TLS_SERVER_NAME  what the certificate must hold, with --server-name
  REDISCLI_AUTH          the access token, with --with-token only

A token lives for about an hour, and a connection that was made with it no
longer; when it ends is said on stderr. So this is for a look by hand: a program
that runs on is better served by exec, proxy or the library. A shell keeps what
it evaluates, and gives it to every program it starts.`

const envExample = `  # one look with redis-cli
  eval "$(entraredis env example.redis.cache.windows.net --with-token)"
  redis-cli --tls -h "$REDIS_HOST" -p "$REDIS_PORT" --user "$REDIS_USERNAME" PING

  # fish, PowerShell
  entraredis env example.redis.cache.windows.net --shell fish --with-token | source
  entraredis env example.redis.cache.windows.net --shell powershell --with-token | Out-String | Invoke-Expression`

type envOptions struct {
	cacheOptions
	shell     choice
	withToken bool
}

func envCommand(s streams) *cobra.Command {
	o := &envOptions{
		cacheOptions: newCacheOptions(),
		shell:        choice{value: "sh", allowed: []string{"sh", "fish", "powershell"}},
	}
	cmd := &cobra.Command{
		Use:     "env HOST[:PORT]",
		Short:   "Print what a Redis client needs as variables for a shell",
		Long:    envLong,
		Example: envExample,
		Args:    oneTarget("entraredis env example.redis.cache.windows.net"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runEnv(cmd, s, o, args[0])
		},
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.BoolVar(&o.withToken, "with-token", false, "print the access token too, as REDISCLI_AUTH")
	f.Var(&o.shell, "shell", "sh (bash, zsh and other POSIX shells), fish or powershell")
	o.registerConfig(f)
	o.registerIdentity(f)
	o.credentialOptions.register(f)
	o.complete(cmd)
	complete(cmd, "shell", o.shell.allowed)
	return cmd
}

// oneTarget requires one argument; example is for the hint.
func oneTarget(example string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == 1 {
			return nil
		}
		return &usageError{err: fmt.Errorf("%s needs one HOST[:PORT], got %d arguments", cmd.CommandPath(), len(args)), hint: "for example: " + example}
	}
}

func runEnv(cmd *cobra.Command, s streams, o *envOptions, target string) error {
	addr, err := o.address(cmd.Flags(), target, "entraredis env example.redis.cache.windows.net")
	if err != nil {
		return err
	}
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return err
	}
	pairs := [][2]string{{"REDIS_HOST", host}, {"REDIS_PORT", port}, {"REDIS_USERNAME", o.redisUsername}}
	if o.serverName != "" {
		pairs = append(pairs, [2]string{"REDIS_TLS_SERVER_NAME", o.serverName})
	}
	if o.redisUsername == "" || o.withToken {
		token, err := o.acquire(cmd.Context(), s, cmd)
		if err != nil {
			return err
		}
		pairs[2][1] = token.Username
		if o.withToken {
			pairs = append(pairs, [2]string{"REDISCLI_AUTH", token.Password()})
			fmt.Fprintf(s.err, "entraredis: the token in REDISCLI_AUTH ends %s\n", tokenFacts{now: time.Now()}.moment(token.ExpiresOn))
		}
	}
	return exportFor(s.out, o.shell.value, pairs)
}

func (o *envOptions) acquire(ctx context.Context, s streams, cmd *cobra.Command) (entraredis.Token, error) {
	source, err := o.source(s, cmd.Flags(), entraredis.Options{Username: o.redisUsername})
	if err != nil {
		return entraredis.Token{}, err
	}
	defer source.Close()
	return source.Token(ctx)
}

// exportFor writes lines that the shell evaluates back to the same values.
func exportFor(w io.Writer, shell string, pairs [][2]string) error {
	for _, pair := range pairs {
		name, value, line := pair[0], pair[1], ""
		switch shell {
		case "fish":
			line = "set -gx " + name + " '" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(value) + "'"
		case "powershell":
			line = "$Env:" + name + " = '" + powershellQuotes.Replace(value) + "'"
		default:
			line = "export " + name + "=" + shellQuote(value)
		}
		if _, err := fmt.Fprintln(w, line); err != nil {
			return err
		}
	}
	return nil
}

// powershellQuotes doubles each character that PowerShell takes for a single
// quote (about_Quoting_Rules): the typographic ones end a string as well.
var powershellQuotes = strings.NewReplacer("'", "''", "\u2018", "\u2018\u2018", "\u2019", "\u2019\u2019", "\u201a", "\u201a\u201a", "\u201b", "\u201b\u201b")
