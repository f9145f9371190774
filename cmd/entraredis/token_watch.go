package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/pflag"

	"github.com/entraredis/entraredis"
)

// watchToken says each token that a Source comes to hold, until a signal ends
// ctx, which is its normal end.
func watchToken(ctx context.Context, s streams, flags *pflag.FlagSet, o *tokenOptions) error {
	events := make(chan entraredis.Event)
	source, err := o.source(s, flags, entraredis.Options{OnEvent: func(e entraredis.Event) {
		select {
		case events <- e:
		case <-ctx.Done():
		}
	}})
	if err != nil {
		return err
	}
	defer source.Close()
	// Without a first token there is nothing to watch: whoever started this
	// wants to know at once.
	token, err := source.Token(ctx)
	if err != nil {
		return err
	}
	if err := o.deliver(s, token, time.Now()); err != nil {
		return err
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case e := <-events:
			switch e.Type {
			case entraredis.EventRefreshFailed:
				o.lament(s, e)
			case entraredis.EventRefreshed:
				next, err := source.Token(ctx)
				if ctx.Err() != nil {
					return nil
				}
				// Two events may be told of one token, if it was replaced in between.
				if err != nil || next.Password() == token.Password() {
					continue
				}
				token = next
				if err := o.deliver(s, token, e.Time); err != nil {
					return err
				}
			}
		}
	}
}

// deliver writes the token's file, if there is to be one, and then its line:
// whoever reads the line may read the file.
func (o *tokenOptions) deliver(s streams, token entraredis.Token, at time.Time) error {
	if err := o.writeFile(token); err != nil {
		return err
	}
	if o.raw {
		_, err := fmt.Fprintln(s.out, token.Password())
		return err
	}
	if o.format.value == "json" {
		return json.NewEncoder(s.out).Encode(struct {
			Time      time.Time `json:"time"`
			Username  string    `json:"username"`
			ExpiresOn time.Time `json:"expires_on"`
		}{at.UTC(), token.Username, token.ExpiresOn.UTC()})
	}
	_, err := fmt.Fprintf(s.out, "%s  %s  expires %s\n", at.Local().Format(time.DateTime), token.Username, tokenFacts{now: at}.moment(token.ExpiresOn))
	return err
}

// tokenFileMode lets nobody but this user read the token.
const tokenFileMode = 0o600

func (o *tokenOptions) writeFile(token entraredis.Token) error {
	if o.outputFile == "" {
		return nil
	}
	if err := writeWhole(o.outputFile, []byte(token.Password()), tokenFileMode); err != nil {
		return fmt.Errorf("write the token's file: %w", err)
	}
	return nil
}

// lament says on stderr that a refresh failed. It is tried again.
func (o *tokenOptions) lament(s streams, e entraredis.Event) {
	held := "no token is held"
	if now := time.Now(); e.ExpiresOn.After(now) {
		held = "the token held expires " + tokenFacts{now: now}.moment(e.ExpiresOn)
	}
	fmt.Fprintf(s.err, "entraredis: refresh failed: %v; %s\n", e.Err, held)
	if token, ok := errors.AsType[*entraredis.TokenError](e.Err); ok {
		fmt.Fprintf(s.err, "entraredis: hint: %s\n", advice(token))
	}
}
