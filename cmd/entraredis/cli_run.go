package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/entraredis/entraredis/internal/prompt"
	"github.com/entraredis/entraredis/internal/resp"
)

// cli is a conversation with somebody: a person, a program or a file.
type cli struct {
	streams
	session  *prompt.Session
	form     form
	addr     string
	refused  bool  // a reply was an error
	writeErr error // of stdout
}

// show prints one reply.
func (c *cli) show(v prompt.Value) {
	var text []byte
	switch c.form {
	case formHuman:
		text = []byte(prompt.Human(v))
	case formRaw:
		text = prompt.Raw(v)
	case formJSON:
		text = prompt.JSON(v)
	}
	c.refused = c.refused || v.IsError()
	if _, err := c.out.Write(text); err != nil && c.writeErr == nil {
		c.writeErr = err
	}
}

// do sends one command. If stdout takes no more there is nothing to wait for.
func (c *cli) do(ctx context.Context, args [][]byte) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	err := c.session.Do(ctx, args, func(v prompt.Value) {
		c.show(v)
		if c.writeErr != nil {
			cancel()
		}
	})
	if c.writeErr != nil {
		return c.writeErr
	}
	return err
}

// once sends the command of the command line.
func (c *cli) once(ctx context.Context, command []string) error {
	args := make([][]byte, len(command))
	for i, arg := range command {
		args[i] = []byte(arg)
	}
	if err := c.do(ctx, args); err != nil {
		return c.ending(ctx, err)
	}
	return c.verdict()
}

// lines sends each line of stdin.
func (c *cli) lines(ctx context.Context) error {
	in := bufio.NewReader(c.in)
	for number := 1; ; number++ {
		line, err := in.ReadString('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("read stdin: %w", err)
		}
		if ctx.Err() != nil {
			return interrupted(ctx)
		}
		args, ok := resp.SplitLine([]byte(strings.TrimRight(line, "\r\n")))
		switch {
		case !ok:
			fmt.Fprintf(c.err, "entraredis: error: line %d: unbalanced quotes\n", number)
			c.refused = true
		case len(args) > 0:
			if err := c.do(ctx, args); err != nil {
				return c.ending(ctx, err)
			}
		}
		if err != nil {
			return c.verdict()
		}
	}
}

// ending is the error that a command ended with.
func (c *cli) ending(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return interrupted(ctx)
	}
	return c.lostError(err)
}

// verdict is how a program is told of error replies, which have been printed.
func (c *cli) verdict() error {
	if c.refused {
		return exitError{exitFailed}
	}
	return nil
}
