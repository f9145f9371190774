package main

import (
	"bytes"
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// programs are the clients that are not written in Go, with the versions of what they need.
//
//go:embed node/*.mjs node/*.json node/.npmrc python/*.py python/*.txt
var programs embed.FS

// The languages of such programs.
const (
	node   = "node"
	python = "python"
)

// tools are what has to be there before anything runs, in a directory of their own.
type tools struct {
	dir        string
	entraredis string
	redis, cli string
}

// newTools builds entraredis and installs what the clients need, by name and version.
func newTools(ctx context.Context, cast []client) (_ *tools, err error) {
	dir, err := os.MkdirTemp("", "entraredis-clients-")
	if err != nil {
		return nil, err
	}
	t := &tools{dir: dir, entraredis: filepath.Join(dir, "entraredis")}
	defer func() {
		if err != nil {
			t.close()
		}
	}()
	if t.redis, err = find("ENTRAREDIS_REDIS_SERVER", "redis-server", "redis-server"); err != nil {
		return nil, err
	}
	if t.cli, err = find("", "redis-cli", "redis-tools"); err != nil {
		return nil, err
	}
	root, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", "github.com/entraredis/entraredis").Output()
	if err != nil {
		return nil, fmt.Errorf("find the module: %w", err)
	}
	if err := t.command(ctx, strings.TrimSpace(string(root)), "go", "build", "-o", t.entraredis, "./cmd/entraredis"); err != nil {
		return nil, err
	}
	if err := os.CopyFS(dir, programs); err != nil {
		return nil, err
	}
	needs := func(language string) bool {
		names, _ := fs.Glob(programs, language+"/*")
		return slices.ContainsFunc(cast, func(c client) bool {
			return slices.ContainsFunc(names, func(n string) bool { return scripts[c.name] == n })
		})
	}
	if needs(node) {
		if _, err := find("", "npm", "nodejs npm"); err != nil {
			return nil, err
		}
		if err := t.command(ctx, filepath.Join(dir, node), "npm", "ci", "--ignore-scripts", "--loglevel", "error"); err != nil {
			return nil, err
		}
	}
	if needs(python) {
		if _, err := find("", "python3", "python3 python3-venv"); err != nil {
			return nil, err
		}
		if err := t.command(ctx, dir, "python3", "-m", "venv", "venv"); err != nil {
			return nil, fmt.Errorf("%w (apt-get install python3-venv)", err)
		}
		if err := t.command(ctx, dir, t.python(), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", "python/requirements.txt"); err != nil {
			return nil, err
		}
	}
	return t, nil
}

func (t *tools) python() string { return filepath.Join(t.dir, "venv", "bin", "python") }

func (t *tools) close() { _ = os.RemoveAll(t.dir) }

func find(variable, name, packages string) (string, error) {
	if file := os.Getenv(variable); variable != "" && file != "" {
		name = file
	}
	file, err := exec.LookPath(name)
	if err != nil {
		return "", fmt.Errorf("%w: apt-get install %s", err, packages)
	}
	return file, nil
}

func (t *tools) command(ctx context.Context, dir string, command ...string) error {
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", strings.Join(command, " "), err, bytes.TrimSpace(out))
	}
	return nil
}

// scripts are the files of the clients that have one.
var scripts = map[string]string{
	"ioredis+BullMQ": "node/ioredis.mjs", "node-redis": "node/node-redis.mjs",
	"redis-py": "python/redis_py.py", "Celery": "python/celery_load.py",
}

// playScript runs a program, which prints its result as the last line.
func playScript(name string) func(context.Context, *tools, string, time.Duration) (result, error) {
	return func(ctx context.Context, t *tools, addr string, span time.Duration) (r result, err error) {
		language, file, _ := strings.Cut(scripts[name], "/")
		program := node
		if language == python {
			program = t.python()
		}
		cmd := exec.CommandContext(ctx, program, file)
		cmd.Dir = filepath.Join(t.dir, language)
		cmd.Env = append(os.Environ(), "REDIS_URL=redis://"+addr, fmt.Sprintf("SECONDS=%g", span.Seconds()))
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		lines := bytes.Split(bytes.TrimSpace(out), []byte("\n"))
		if err == nil {
			err = json.Unmarshal(lines[len(lines)-1], &r)
		}
		if err != nil {
			return r, errors.Join(err, errors.New(tail(stderr.String())))
		}
		return r, nil
	}
}

func tail(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-5):], " | ")
}
