# An argument of a node group of terraform-aws-eks (eks_managed_node_groups, self_managed_node_groups).
cloudinit_pre_nodeadm = [
  {
    content_type = "application/node.eks.aws"
    content      = <<-EOT
      apiVersion: node.eks.aws/v1alpha1
      kind: NodeConfig
      spec:
        instance:
          environment:
            default:
              HTTPS_PROXY: "http://proxy.example.com:3128"
              NO_PROXY: "localhost,127.0.0.1,::1,[::1],169.254.169.254,fd00:ec2::254,[fd00:ec2::254],169.254.170.2,169.254.170.23,fd00:ec2::23,[fd00:ec2::23],.internal,.svc,.cluster.local,10.100.0.0/16,10.100.0.1,.eu-west-1.eks.amazonaws.com,artifacts.example.com"
    EOT
  },
  {
    content_type = "text/x-shellscript; charset=\"us-ascii\""
    content      = <<-EOT
      #!/bin/sh
      # Installs eks-proxy-agent on an image without it.  Made by: eks-proxy-agent user-data render
      # It runs once per instance, before nodeadm-run.  If it fails, the node boots on without the agent.
      set -eu
      umask 022
      package='s3://my-bucket/eks-proxy-agent.rpm'
      sha256=0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef
      routes='direct http://proxy.example.com:3128'
      no_proxy='localhost,127.0.0.1,::1,[::1],169.254.169.254,fd00:ec2::254,[fd00:ec2::254],169.254.170.2,169.254.170.23,fd00:ec2::23,[fd00:ec2::23],.internal,.svc,.cluster.local,10.100.0.0/16,10.100.0.1,.eu-west-1.eks.amazonaws.com,artifacts.example.com'
      directory=$(mktemp -d)
      trap 'rm -rf "$directory"' EXIT
      file=$directory/eks-proxy-agent.rpm

      say() {
          echo "eks-proxy-agent: $*" >&2
          logger -t eks-proxy-agent-install -- "$*" || :
      }

      give_up() {
          say "error: $*; the node boots on without the proxy settings of the agent"
          exit 1
      }

      # behind ROUTE COMMAND...: run the command for at most two minutes, with a proxy or "direct"
      behind() {
          proxy=$1
          shift
          [ "$proxy" != direct ] || proxy=
          env http_proxy="$proxy" https_proxy="$proxy" HTTP_PROXY="$proxy" HTTPS_PROXY="$proxy" \
              no_proxy="$no_proxy" NO_PROXY="$no_proxy" timeout 120 "$@"
      }

      # By the VPC endpoint of S3, or through the proxy.  Without `aws` the bucket's policy has to allow it.
      fetch() {
          if command -v aws >/dev/null; then
              AWS_MAX_ATTEMPTS=1 behind "$1" aws s3 cp --region eu-west-1 --only-show-errors \
                  --cli-connect-timeout 10 --cli-read-timeout 30 "$package" "$file"
          else
              behind "$1" curl -fsSL --connect-timeout 10 -o "$file" 'https://s3.eu-west-1.amazonaws.com/my-bucket/eks-proxy-agent.rpm'
          fi
      }

      download() {
          for pause in 0 5 10 20; do
              sleep "$pause"
              for route in $routes; do
                  if ! fetch "$route" </dev/null; then
                      say "$package cannot be fetched (route: $route)"
                  elif [ "$(sha256sum <"$file")" = "$sha256  -" ]; then
                      return 0
                  else
                      say "$package has another sha256 than $sha256 (route: $route)"
                  fi
              done
          done
          return 1
      }

      download || give_up "the package is not installed: no download has the expected content"
      name=$(rpm -qp "$file") || give_up "the package is not installed: rpm cannot read it"
      if rpm -q --quiet "$name"; then
          say "$name is installed already"
      elif rpm -U "$file"; then
          say "$name is installed"
      elif rpm -q --quiet eks-proxy-agent; then
          say "rpm refuses $name, see above; the installed version stays"
      else
          give_up "rpm refuses $name, see above"
      fi

      settings=/etc/eks-proxy-agent/config.d/80-user-data.toml
      cat >"$settings.new" <<'EOF' || give_up "it is installed, but $settings cannot be written"
      [proxy]
      url = "http://proxy.example.com:3128"
      no_proxy = ["artifacts.example.com"]
      EOF
      mv "$settings.new" "$settings"

      systemctl start eks-proxy-agent || give_up "it is installed, but does not start: journalctl -u eks-proxy-agent"
      # What already ran has no proxy yet.
      eks-proxy-agent apply --restart || say "warning: apply --restart failed, see above"
      say "done"
    EOT
  },
]
