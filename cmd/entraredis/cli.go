package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/term"

	"github.com/entraredis/entraredis"
	"github.com/entraredis/entraredis/internal/prompt"
)

const cliLong = `Talk to a cache: a prompt, or one command, or commands from stdin.

Without a command and in a terminal there is a prompt: Tab completes names of
commands, their arguments stand below the line, the history is kept from one time
to the next, without commands that may hold a secret (AUTH, ACL SETUSER, ...).
Ctrl-C drops the line, or ends what runs (SUBSCRIBE, MONITOR, BLPOP); Ctrl-D or
QUIT leaves. The connection outlives its tokens, for days; one that is lost is
opened again with the next command. A command that may have run is not sent
twice.

With a command it is sent and the reply printed. Without one, and stdin not a
terminal, each line of stdin is a command, in the quotes of redis-cli.

Replies are printed as redis-cli prints them: for people in a terminal, raw where
there is none, which --raw, --no-raw and --json decide. RESP3 is spoken where the
service knows it, except for raw output, which scripts know as RESP2 makes it;
--resp decides. --json prints one line for each reply; bytes that are not UTF-8
are \xHH in it, and an error is {"error":"..."}.

Flags may stand before HOST or between it and the command, not behind that.

Exit codes: 1 if a reply was an error; 3 if there is no token, 4 if the cache
refuses the identity, cannot be reached or is lost.`

const cliExample = `  # a prompt
  entraredis cli example.redis.cache.windows.net

  # one command
  entraredis cli example.redis.cache.windows.net --credential azure-cli SET greeting 'hello world'

  # for a program
  entraredis cli example.redis.cache.windows.net --json HGETALL user:1 | jq -r .name

  # many commands
  entraredis cli example.redis.cache.windows.net <commands.txt`

const cliOne = "entraredis cli example.redis.cache.windows.net PING"

type cliOptions struct {
	cacheOptions
	raw, noRaw, json bool
	resp             choice
	wanted           string
	command          []string
}

func cliCommand(s streams) *cobra.Command {
	o := &cliOptions{cacheOptions: newCacheOptions(), resp: choice{value: "auto", allowed: []string{"auto", "2", "3"}}}
	cmd := &cobra.Command{
		Use:     "cli [flags] HOST[:PORT] [flags] [COMMAND [ARGS...]]",
		Short:   "Talk to a cache at a prompt, or send it a command",
		Long:    cliLong,
		Example: cliExample,
		Args:    o.takeArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runCLI(cmd.Context(), s, cmd.Flags(), o)
		},
		DisableFlagsInUseLine: true,
	}
	o.register(cmd.Flags())
	o.complete(cmd)
	complete(cmd, "resp", o.resp.allowed)
	return cmd
}

func (o *cliOptions) register(f *pflag.FlagSet) {
	f.SortFlags = false
	f.SetInterspersed(false) // -1 in ZRANGE k 0 -1 is no flag
	f.BoolVar(&o.raw, "raw", false, "print replies raw, also in a terminal")
	f.BoolVar(&o.noRaw, "no-raw", false, "print replies for people, also where there is no terminal")
	f.BoolVar(&o.json, "json", false, "print replies as JSON, one a line")
	f.Var(&o.resp, "resp", "protocol: 2, 3, or auto: 3, and 2 for raw output")
	o.registerConfig(f)
	o.cacheOptions.register(f)
}

// takeArgs takes the arguments apart: people put flags before HOST or behind
// it, and what follows them is the command's own.
func (o *cliOptions) takeArgs(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return &usageError{err: fmt.Errorf("%s needs a HOST[:PORT]", cmd.CommandPath()), hint: "for example: " + cliOne}
	}
	if err := cmd.Flags().Parse(args[1:]); err != nil {
		return cmd.FlagErrorFunc()(cmd, err)
	}
	if help, _ := cmd.Flags().GetBool("help"); help {
		return pflag.ErrHelp
	}
	o.wanted, o.command = args[0], cmd.Flags().Args()
	return nil
}

func runCLI(ctx context.Context, s streams, flags *pflag.FlagSet, o *cliOptions) error {
	addr, err := o.address(flags, o.wanted, cliOne)
	if err != nil {
		return err
	}
	dialer, err := o.dialer(s, flags, entraredis.Options{})
	if err != nil {
		return err
	}
	defer dialer.Source.Close()
	form := o.form(s)
	session := &prompt.Session{
		Dial: func(ctx context.Context) (net.Conn, error) {
			return dialer.DialContext(ctx, "tcp", addr)
		},
		RESP3: o.resp.value == "3" || o.resp.value == "auto" && form != formRaw,
	}
	defer session.Close()
	c := &cli{streams: s, session: session, form: form, addr: addr}
	session.Push = c.show
	switch {
	case len(o.command) > 0:
		return c.once(ctx, o.command)
	case isTerminalInput(s.in):
		return c.prompt(ctx)
	}
	return c.lines(ctx)
}

func isTerminalInput(in any) bool {
	f, ok := in.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// form is a form of replies.
type form int

const (
	formHuman form = iota
	formRaw
	formJSON
)

func (o *cliOptions) form(s streams) form {
	switch {
	case o.json:
		return formJSON
	case o.raw, !o.noRaw && !isTerminal(s.out):
		return formRaw
	}
	return formHuman
}

// lostError makes of a lost connection what it is: a cache that cannot be
// reached.
func (c *cli) lostError(err error) error {
	if errors.Is(err, prompt.ErrLost) || errors.Is(err, prompt.ErrTransactionLost) {
		return &entraredis.AuthError{Kind: entraredis.KindUnreachable, Addr: c.addr, Err: err}
	}
	return err
}
