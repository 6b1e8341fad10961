// Stand-in for nodeadm: it does with proxies what nodeadm does (awslabs/amazon-eks-ami, nodeadm/).
//
//	nodeadm NODECONFIG URL
//
// It takes over the variables of spec.instance.environment.default, queries the metadata service by
// plain http, and then URL, in the place of the EC2 API.  Both use the proxy of the environment.
//
// With "user-data" as NODECONFIG it reads the NodeConfigs of the user data, and writes the variables
// to system.conf.d too.  Go reads the environment once, which nodeadm works around (amazon-eks-ami
// pull request 2471); the stand-in executes itself again.
package main

import (
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/mail"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

const metadata = "http://169.254.169.254/latest/"

const configured = "NODEADM_CONFIGURED"

// setDefaults takes over the lines "KEY: VALUE" below "default:", as the test's NodeConfig has them.
func setDefaults(text string) (map[string]string, error) {
	inside, indent := false, 0
	variables := map[string]string{}
	for _, line := range strings.Split(text, "\n") {
		depth := len(line) - len(strings.TrimLeft(line, " "))
		name, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		switch {
		case name == "default:":
			inside, indent = true, depth
		case inside && depth > indent && value != "":
			variables[name] = strings.Trim(value, `"`)
			if err := os.Setenv(name, variables[name]); err != nil {
				return nil, err
			}
		case depth <= indent:
			inside = false
		}
	}
	return variables, nil
}

// nodeConfigs returns the parts of type application/node.eks.aws.
func nodeConfigs(userData string) (string, error) {
	message, err := mail.ReadMessage(strings.NewReader(userData))
	if err != nil {
		return "", err
	}
	_, parameters, err := mime.ParseMediaType(message.Header.Get("Content-Type"))
	if err != nil {
		return "", err
	}
	reader, texts := multipart.NewReader(message.Body, parameters["boundary"]), ""
	for {
		part, err := reader.NextPart()
		if err == io.EOF && texts != "" {
			return texts, nil
		}
		if err != nil {
			return "", fmt.Errorf("could not find NodeConfig within UserData: %w", err)
		}
		kind, _, err := mime.ParseMediaType(part.Header.Get("Content-Type"))
		if err != nil {
			return "", err
		}
		if kind == "application/node.eks.aws" {
			text, err := io.ReadAll(part)
			if err != nil {
				return "", err
			}
			texts += string(text) + "\n"
		}
	}
}

// configure takes over the NodeConfigs of the user data, and executes the program again.
func configure(client *http.Client) error {
	token, err := request(client, http.MethodPut, metadata+"api/token", "X-aws-ec2-metadata-token-ttl-seconds", "60")
	if err != nil {
		return err
	}
	userData, err := request(client, http.MethodGet, metadata+"user-data", "X-aws-ec2-metadata-token", token)
	if err != nil {
		return err
	}
	texts, err := nodeConfigs(userData)
	if err != nil {
		return err
	}
	variables, err := setDefaults(texts)
	if err != nil {
		return err
	}
	lines := "[Manager]\n"
	for name, value := range variables {
		lines += fmt.Sprintf("DefaultEnvironment=\"%s=%s\"\n", name, value)
	}
	directory := "/etc/systemd/system.conf.d"
	if err := os.MkdirAll(directory, 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(directory+"/environment.conf", []byte(lines), 0o644); err != nil {
		return err
	}
	if err := exec.Command("systemctl", "daemon-reload").Run(); err != nil {
		return err
	}
	if err := os.Setenv(configured, "yes"); err != nil {
		return err
	}
	return syscall.Exec("/proc/self/exe", os.Args, os.Environ())
}

func request(client *http.Client, method, url, header, value string) (string, error) {
	request, err := http.NewRequest(method, url, nil)
	if err != nil {
		return "", err
	}
	request.Header.Set("User-Agent", "nodeadm")
	if header != "" {
		request.Header.Set(header, value)
	}
	response, err := client.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s %s: %s", method, url, response.Status)
	}
	return string(body), err
}

func main() {
	err := error(nil)
	client := &http.Client{Timeout: 10 * time.Second} // its transport obeys ProxyFromEnvironment
	if os.Args[1] != "user-data" {
		text, failure := os.ReadFile(os.Args[1])
		if err = failure; err == nil {
			_, err = setDefaults(string(text))
		}
	} else if os.Getenv(configured) == "" {
		err = configure(client)
	}
	token, id := "", ""
	if err == nil {
		token, err = request(client, http.MethodPut, metadata+"api/token", "X-aws-ec2-metadata-token-ttl-seconds", "60")
	}
	if err == nil {
		id, err = request(client, http.MethodGet, metadata+"meta-data/instance-id", "X-aws-ec2-metadata-token", token)
	}
	if err == nil {
		_, err = request(client, http.MethodGet, os.Args[2], "", "")
	}
	if err != nil {
		fmt.Println("nodeadm failed:", err)
		os.Exit(1)
	}
	fmt.Println("nodeadm joined:", id)
}
