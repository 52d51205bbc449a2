//go:build ignore

// Writes robfig.tsv: what robfig/cron v3 says about cases.tsv. In an empty module:
//
//	go mod init x && go get github.com/robfig/cron/v3 && go run FOLDER/make_robfig.go FOLDER
//
// Run it only to renew the table.
package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/robfig/cron/v3"
)

func answer(expression, zone, from string, count int) string {
	schedule, err := cron.ParseStandard(expression)
	if err != nil {
		return "refused"
	}
	location, err := time.LoadLocation(zone)
	if err != nil {
		panic(err)
	}
	at, err := time.Parse(time.RFC3339, from)
	if err != nil {
		panic(err)
	}
	at = at.In(location)
	var times []string
	for i := 0; i < count; i++ {
		at = schedule.Next(at)
		if at.IsZero() {
			break
		}
		times = append(times, at.UTC().Format("2006-01-02T15:04:05Z"))
	}
	if len(times) == 0 {
		return "never"
	}
	return strings.Join(times, " ")
}

func main() {
	folder := os.Args[1]
	version, err := exec.Command("go", "list", "-m", "github.com/robfig/cron/v3").Output()
	if err != nil {
		panic(err)
	}
	lines := []string{"# By " + strings.TrimSpace(string(version)) + " (Go module), make_robfig.go, ParseStandard."}
	cases, err := os.ReadFile(filepath.Join(folder, "cases.tsv"))
	if err != nil {
		panic(err)
	}
	for _, line := range strings.Split(strings.TrimRight(string(cases), "\n"), "\n") {
		if strings.HasPrefix(line, "#") {
			continue
		}
		fields := strings.Split(line, "\t")
		count, _ := strconv.Atoi(fields[4])
		result := make(chan string, 1)
		go func() { result <- answer(fields[1], fields[2], fields[3], count) }()
		select {
		case text := <-result:
			lines = append(lines, line+"\t"+text)
		case <-time.After(5 * time.Second): // where a day is left out it may look for ever
			lines = append(lines, line+"\tno answer")
		}
	}
	text := strings.Join(lines, "\n") + "\n"
	if err := os.WriteFile(filepath.Join(folder, "robfig.tsv"), []byte(text), 0o644); err != nil {
		panic(err)
	}
	fmt.Println(len(lines)-1, "rows")
}
